/* SPDX-License-Identifier: MIT */
/*
 * peer_tests.c - the libraries' adapters keep to kv.h: the conformance suite, random
 * histories against the array, failing allocations, options.
 *
 * What processes and durability add is in peer_process_tests.c.
 */
#include "peer_fixture.h"

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/kv_conformance.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../engine_label.h"
#include "../plan.h"

/* No target here sets kv_target.lenient: every adapter keeps the whole of kv.h within its
 * capabilities and limits. */
static struct kv_target target_of(const struct engine_info *e, const char *options)
{
	return (struct kv_target){
		.ops = e->ops,
		.options = options,
		.scratch = scratch,
		.remove_store = scratch_remove,
		.huge_value = 2 << 20,
	};
}

static void test_conforms(void **state)
{
	char options[PEER_PATH];
	struct kv_target t = target_of(
		peer_of(state), peer_options(peer_of(state), "durability=none", options));
	struct kv_report r = { .out = stdout, .verbose = getenv("KV_VERBOSE") };

	assert_int_equal(kv_conformance(&t, &r), 0);
	if (!getenv("KV_CHECK"))
		assert_true(r.passed > 30);
}

/* ---- histories ---- */

static void follow(const struct engine_info *e, const char *level, unsigned int histories)
{
	char options[PEER_PATH];
	struct kv_target t = target_of(e, peer_options(e, level, options));
	struct kv_report r = { .out = stdout };
	struct kv_history_config c = {
		.seed = kv_history_seed(0x5eed0003),
		.histories = histories,
		.reopen = true,
	};

	printf("# KV_SEED=0x%llx %s\n", (unsigned long long)c.seed, options);
	assert_int_equal(kv_history_run(&t, &c, &r), 0);
	assert_int_equal(r.passed, histories);
}

static void test_follows_histories(void **state)
{
	/* Sanitizers and Valgrind: one each. */
	unsigned int n = test_draws(4) == 4 ? 4 : 1;

	follow(peer_of(state), "durability=none", n);
	follow(peer_of(state), "durability=group,group_ms=5", n > 1 ? n / 2 : 1);
	follow(peer_of(state), "durability=sync", n > 1 ? n / 2 : 1);
}

/* ---- no memory ---- */

/* Opens a store and does something of everything. Returns the first error. */
static int use_all(const struct engine_info *e, const char *dir, const char *options,
		   struct kv_msg *why)
{
	struct kv_snapshot *snap = NULL;
	struct kv_cursor *cursor = NULL;
	struct kv_buf value = { 0 };
	struct kv *kv = NULL;
	int error = kv_open(e->ops, NULL, dir, options, &kv, why);

	if (error)
		return error;
	why->text[0] = 'x'; /* from here on there is nobody to write it */
	error = kv_put(kv, kv_str("key"), kv_str("value"), KV_NONE);
	if (!error)
		error = kv_put(kv, kv_str("kez"), kv_str("value"),
			       e->ops->caps & KV_CAP_DURABLE ? KV_GROUP : KV_NONE);
	if (!error && (e->ops->caps & KV_CAP_SNAPSHOT))
		error = kv_snapshot(kv, &snap);
	if (!error)
		error = kv_get_at(kv, snap, kv_str("key"), &value);
	if (!error)
		error = kv_cursor(kv, snap, &cursor);
	if (!error)
		error = kv_next(cursor);
	if (!error && (e->ops->caps & KV_CAP_ORDERED))
		error = kv_seek(cursor, kv_str("k"));
	if (!error && (e->ops->caps & KV_CAP_ORDERED))
		error = kv_next(cursor);
	if (!error && (e->ops->caps & KV_CAP_ORDERED))
		error = kv_prev(cursor);
	kv_cursor_close(cursor);
	kv_release(kv, snap);
	kv_buf_free(&value);
	if (error) {
		kv_close(kv);
		return error;
	}
	return kv_close(kv);
}

static void test_each_failing_allocation_is_reported(void **state)
{
	const struct engine_info *e = peer_of(state);
	uint64_t live = port_fault_live(), n;
	char dir[PEER_PATH], options[PEER_PATH];

	peer_options(e, "durability=none", options);
	peer_new_dir(dir);
	for (n = 1; n < 100; n++) {
		struct kv_msg why = { "" };
		bool fired;
		int error;

		port_fault_set(n, true);
		error = use_all(e, dir, options, &why);
		fired = port_fault_fired();
		port_fault_set(0, true);
		if (port_fault_live() != live)
			fail_msg("%s: allocation %llu failed, and %lld were not freed",
				 e->name, (unsigned long long)n,
				 (long long)(port_fault_live() - live));
		if (!fired) {
			assert_int_equal(error, 0);
			break;
		}
		if (error && error != -ENOMEM)
			fail_msg("%s: allocation %llu failed, and came %s: %s", e->name,
				 (unsigned long long)n, strerror(-error), why.text);
		assert_true(!error || why.text[0]);
	}
	assert_in_range(n, 3, 99);
}

/* ---- what cannot be opened ---- */

static void refused(const struct engine_info *e, const char *dir, const char *options,
		    const char *named)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error = kv_open(e->ops, NULL, dir, options, &kv, &why);

	if (!error) {
		kv_close(kv);
		fail_msg("%s: %s with %s: expected an error", e->name, dir, options);
	}
	/* A sentence: it has words, and says what it is about. */
	if (strlen(why.text) < 15 || !strchr(why.text, ' ') || !strstr(why.text, named))
		fail_msg("%s: %s with %s: expected a sentence about %s, came \"%s\"",
			 e->name, dir, options, named, why.text);
}

static void test_bad_options_give_sentences(void **state)
{
	const struct engine_info *e = peer_of(state);
	char dir[PEER_PATH], longer[5000];

	peer_new_dir(dir);
	refused(e, dir, "memory_byte=1g", "memory_bytes");
	refused(e, dir, "memory_bytes=1k", "memory_bytes");
	refused(e, dir, "memory_bytes=lots", "memory_bytes");
	refused(e, dir, "group_ms=0", "group_ms");
	refused(e, dir, "durability=always", "durability");
	assert_int_not_equal(access(dir, F_OK), 0); /* nothing was begun */
	memset(longer, 'd', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memcpy(longer, scratch, strlen(scratch));
	longer[strlen(scratch)] = '/';
	refused(e, longer, "", "director");
	refused(e, "", "", "directory");
}

static int overwrite_one(const char *path, const struct stat *st, int type,
			 struct FTW *ftw)
{
	FILE *f;

	(void)st, (void)ftw;
	if (type != FTW_F || strstr(path, "peer.lock"))
		return 0;
	f = fopen(path, "w");
	if (!f)
		return -1;
	for (int i = 0; i < 3000; i++)
		fputs("this is no database ", f);
	return fclose(f);
}

/* Berkeley DB 5.3 leaves its log buffer behind where recovery fails. A suppression would
 * have to cover all that the library allocates: its callers cannot be told apart. */
extern void __lsan_disable(void) __attribute__((weak));
extern void __lsan_enable(void) __attribute__((weak));

static void leaks_expected(const struct engine_info *e, bool expected)
{
	if (strncmp(e->name, "bdb-", 4) || !__lsan_disable || !__lsan_enable)
		return;
	if (expected)
		__lsan_disable();
	else
		__lsan_enable();
}

static void test_open_of_something_else_is_refused(void **state)
{
	const struct engine_info *e = peer_of(state);
	char dir[PEER_PATH];
	struct kv_msg why = { "" };
	struct kv *kv = peer_open(e, peer_new_dir(dir), "");
	int error;

	assert_int_equal(kv_put(kv, kv_str("key"), kv_str("value"), KV_NONE), 0);
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(nftw(dir, overwrite_one, 16, FTW_PHYS), 0);
	leaks_expected(e, true);
	refused(e, dir, PEER_MEMORY, dir);
	error = kv_open(e->ops, NULL, dir, PEER_MEMORY, &kv, &why);
	leaks_expected(e, false);
	if (error != -EBADMSG)
		fail_msg("%s: expected -EBADMSG, came %s: %s", e->name, strerror(-error),
			 why.text);
}

/* Maps of 64 TiB each, of which no processor with 48 bits of address has room for three. */
static void test_lmdb_says_that_its_map_does_not_fit(void **state)
{
	const struct engine_info *e = engines_find("lmdb");
	struct kv *kv[3] = { NULL };
	struct kv_msg why = { "" };
	char dir[PEER_PATH];
	int i, error = 0;

	(void)state;
	if (!e->ops || TEST_SANITIZED) {
		print_message("skipped: no LMDB, or sanitizers want the addresses\n");
		skip();
	}
	for (i = 0; i < 3 && !error; i++)
		error = kv_open(e->ops, NULL, peer_new_dir(dir), "map_bytes=65536g",
				&kv[i], &why);
	for (i = 0; i < 3; i++)
		assert_int_equal(kv_close(kv[i]), 0);
	assert_int_equal(error, -ENOMEM);
	assert_non_null(strstr(why.text, "map_bytes"));
}

/* ---- what is not there ---- */

static void test_unavailable_peer_names_its_package(void **state)
{
	const struct engine_info *e;
	unsigned int peers = 0;
	size_t i;

	(void)state;
	for (i = 0; (e = engines_get(i)); i++) {
		struct engine_info absent = *e;
		struct engine_label label = { .label = e->name, .info = &absent };
		struct setting s = { .durability = KV_NONE };
		char reason[256] = "";
		const char *status = NULL, *text;
		json_t *json;

		if (e->kind != ENGINE_PEER)
			continue;
		peers++;
		assert_int_equal(!e->ops, !e->version);
		assert_non_null(strstr(e->package, "-dev"));
		assert_true(strlen(e->tuning) > 40);
		absent.ops = NULL;
		absent.version = NULL;
		assert_true(plan_cannot_run(&label, &s, &status, reason, sizeof(reason)));
		assert_string_equal(status, "missing");
		assert_non_null(strstr(reason, e->package));
		json = engine_label_json(&label);
		text = json_string_value(json_object_get(json, "reason"));
		assert_non_null(strstr(text, e->package));
		json_decref(json);
	}
	assert_int_equal(peers, 9);
}

int main(void)
{
	static struct peer_tests t;

	peer_tests_add(&t, "conforms", test_conforms, 0);
	peer_tests_add(&t, "follows_histories", test_follows_histories, 0);
	peer_tests_add(&t, "each_failing_allocation_is_reported",
		       test_each_failing_allocation_is_reported, 0);
	peer_tests_add(&t, "bad_options_give_sentences", test_bad_options_give_sentences,
		       0);
	peer_tests_add(&t, "open_of_something_else_is_refused",
		       test_open_of_something_else_is_refused, 0);
	peer_tests_add_one(&t, "test_lmdb_says_that_its_map_does_not_fit",
			   test_lmdb_says_that_its_map_does_not_fit);
	peer_tests_add_one(&t, "test_unavailable_peer_names_its_package",
			   test_unavailable_peer_names_its_package);
	return peer_tests_run("peers", &t);
}
