/* SPDX-License-Identifier: MIT */
/*
 * device_tests.c - the engines in the kernel keep to kv.h, through each of the three ways in:
 * the conformance suite, random histories against the array, several keys at once.
 *
 * On a machine without devices there is only to see that each says what is missing. vm/ has
 * machines that have them; there ENGINES=array,hash@kernel+ring in the environment leaves
 * others out: an engine by each way, and another by one.
 */
#include "peer_fixture.h"

#include "../../sprint-1-core-memory/tests/kv_conformance.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"

static struct kv_target target_of(const struct engine_info *e)
{
	return (struct kv_target){
		.ops = e->ops,
		.scratch = scratch,
		.remove_store = e->ops->caps & KV_CAP_PERSISTENT ? scratch_remove : NULL,
		.huge_value = 1 << 20,
		.lenient = KV_LENIENT_ONE_STORE,
	};
}

static void test_conforms(void **state)
{
	struct kv_target t = target_of(peer_of(state));
	struct kv_report r = { .out = stdout, .verbose = getenv("KV_VERBOSE") };

	assert_int_equal(kv_conformance(&t, &r), 0);
	if (!getenv("KV_CHECK"))
		assert_true(r.passed > 30);
}

static void test_follows_histories(void **state)
{
	struct kv_target t = target_of(peer_of(state));
	struct kv_report r = { .out = stdout };
	struct kv_history_config c = {
		.seed = kv_history_seed(0x5eed0006),
		.histories = (unsigned int)(test_draws(20) ? test_draws(20) : 1),
		.reopen = true,
	};

	printf("# KV_SEED=0x%llx\n", (unsigned long long)c.seed);
	assert_int_equal(kv_history_run(&t, &c, &r), 0);
	assert_int_equal(r.passed, c.histories);
}

/* ---- several keys at once: more than the kernel does together, and values of all sizes ---- */

enum { MANY = 200, LONG = 40000 };

static size_t length_of(size_t i)
{
	return i % 7 == 3 ? LONG + i : i * 5 % 300;
}

static void put_many(struct kv *kv)
{
	static char bytes[LONG + MANY];
	char key[16];
	size_t i;

	for (i = 0; i < MANY; i++) {
		(void)snprintf(key, sizeof(key), "key%04zu", i);
		memset(bytes, (int)('a' + i % 26), length_of(i));
		assert_int_equal(
			kv_put(kv, kv_str(key), kv_slice(bytes, length_of(i)), KV_NONE),
			0);
	}
}

static void check_many(struct kv *kv, size_t from, size_t n)
{
	static char text[MANY][16];
	struct kv_slice key[MANY];
	struct kv_buf value[MANY] = { 0 };
	int error[MANY];
	size_t i;

	for (i = 0; i < n; i++) {
		/* Every fifth is not there. */
		(void)snprintf(text[i], sizeof(text[i]), i % 5 ? "key%04zu" : "none%04zu",
			       from + i);
		key[i] = kv_str(text[i]);
	}
	assert_int_equal(kv_multi_get(kv, NULL, n, key, value, error), 0);
	for (i = 0; i < n; i++) {
		assert_int_equal(error[i], i % 5 ? 0 : -ENOENT);
		assert_int_equal(value[i].len, i % 5 ? length_of(from + i) : 0);
		if (value[i].len)
			assert_int_equal(((char *)value[i].data)[value[i].len - 1],
					 'a' + (from + i) % 26);
		kv_buf_free(&value[i]);
	}
}

static void test_gets_many_together(void **state)
{
	char dir[PEER_PATH];
	struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), "");

	put_many(kv);
	check_many(kv, 0, 1);
	check_many(kv, 3, 2);
	check_many(kv, 0, 64);
	check_many(kv, 17, 65);
	check_many(kv, 0, MANY);
	assert_int_equal(kv_close(kv), 0);
}

/* Back and forth over blocks of pairs. */
static void test_cursor_turns_round_anywhere(void **state)
{
	char dir[PEER_PATH], key[16];
	struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), "");
	struct kv_cursor *c;
	size_t i, k;

	if (!(kv->ops->caps & KV_CAP_ORDERED)) {
		assert_int_equal(kv_close(kv), 0);
		skip();
	}
	put_many(kv);
	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(kv_next(c), 0);
		if (i % 3 || i < 2)
			continue;
		for (k = i; k-- > i - 2;) {
			assert_int_equal(kv_prev(c), 0);
			(void)snprintf(key, sizeof(key), "key%04zu", k);
			assert_int_equal(kv_compare(c->key, kv_str(key)), 0);
		}
		assert_int_equal(kv_next(c), 0);
		assert_int_equal(kv_next(c), 0);
		(void)snprintf(key, sizeof(key), "key%04zu", i);
		assert_int_equal(kv_compare(c->key, kv_str(key)), 0);
		assert_int_equal(c->value.len, length_of(i));
	}
	assert_int_equal(kv_next(c), -ENOENT);
	assert_int_equal(kv_prev(c), 0);
	assert_int_equal(kv_next(c), -ENOENT);
	assert_int_equal(kv_next(c), 0);
	assert_int_equal(kv_compare(c->key, kv_str("key0000")), 0);
	kv_cursor_close(c);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- what is not there ---- */

static void test_absent_device_says_what_to_load(void **state)
{
	const struct engine_info *e;
	char text[256];
	size_t i, n = 0;

	(void)state;
	for (i = 0; (e = engine_device_get(i)); i++, n++) {
		assert_ptr_equal(engines_find(e->name), e);
		assert_non_null(strstr(e->name, "@kernel"));
		if (e->ops)
			continue;
		engines_absence(e, text, sizeof(text));
		assert_non_null(strstr(text, "/dev/storage-"));
		assert_non_null(strstr(text, "load"));
	}
	assert_int_equal(n, 13);
}

static bool is_wanted(const char *name)
{
	const char *list = getenv("ENGINES");

	for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
		size_t n = strcspn(list, ",");

		if (!strncmp(list, name, n) && (!name[n] || name[n] == '@'))
			return true;
	}
	return !list;
}

static void add(struct peer_tests *t, const char *what, CMUnitTestFunction fn)
{
	const struct engine_info *e;
	size_t i;

	for (i = 0; (e = engine_device_get(i)); i++) {
		if (!e->ops || e->kind == ENGINE_NULL || !is_wanted(e->name))
			continue;
		(void)snprintf(t->name[t->n], sizeof(t->name[0]), "test_%s[%s]", what,
			       e->name);
		t->test[t->n] = (struct CMUnitTest){ .name = t->name[t->n],
						     .test_func = fn,
						     .initial_state = (void *)e };
		t->n++;
	}
}

int main(void)
{
	static struct peer_tests t;

	add(&t, "conforms", test_conforms);
	add(&t, "follows_histories", test_follows_histories);
	add(&t, "gets_many_together", test_gets_many_together);
	add(&t, "cursor_turns_round_anywhere", test_cursor_turns_round_anywhere);
	if (!t.n)
		print_message("skipped: no /dev/storage-* is there\n");
	peer_tests_add_one(&t, "test_absent_device_says_what_to_load",
			   test_absent_device_says_what_to_load);
	return peer_tests_run("device_tests", &t);
}
