/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_golden_tests.c - stores on disk of format version 1, which every machine and every later
 * program reads.
 *
 * data/lsm-v1-plain and data/lsm-v1-lz4 were made by make_store() on the simulated disk. Their
 * process died: they have tables at several levels, blob files, a manifest of a whole version
 * and edits, and a log to be replayed. Zeros at the end of log files are left out.
 *
 * When a store can't be opened, people's can't either: never write these anew then, but read
 * both formats, or count the version up. KV_GOLDEN_WRITE=1 writes them, when there is a new
 * version.
 */
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_engine.h"

enum {
	KEYS = 60,
	TEXTS = 20,
	FILES = 32,
	NAME = 48,
	SEGMENT = 64 << 10,
	FILE_MAX = 1 << 20
};

#define OPTIONS                                                               \
	"memory_bytes=1m,memtable_bytes=8k,segment_bytes=64k,table_bytes=8k," \
	"block_bytes=512,level_bytes=12k,ratio=2,flushed_runs=2,huge=off,"    \
	"reserve_bytes=0"

struct golden {
	struct {
		char name[NAME]; /* in the store's directory */
		struct kv_buf bytes;
	} file[FILES];
	size_t n;
	const char *prefix;
};

static const char *const stores[] = { "lsm-v1-plain", "lsm-v1-lz4" };

/* ---- what is in it ---- */

static const char odd_key[] = "\0odd\xff\n";

static size_t bytes_of(unsigned int key) /* some in blob files */
{
	return key % 7 == 3 ? 1500 : 60;
}

static void put(struct kv *kv, unsigned int key, unsigned int version)
{
	assert_int_equal(fixture_put(kv, key, version, bytes_of(key), KV_NONE), 0);
}

/* Values of random bytes don't compress; these do. */
static struct kv_slice text_key(char *buf, unsigned int i)
{
	(void)snprintf(buf, FIXTURE_KEY, "text%02u", i);
	return kv_str(buf);
}

static struct kv_slice text_value(char *buf, unsigned int i)
{
	memset(buf, 'a' + (int)i, 200);
	return kv_slice(buf, 200);
}

/* Version 1 of all keys, then 2 of every fifth, a range that is deleted and single keys; the
 * last of it is in the log alone. */
static void make_store(struct kv *kv)
{
	char k[2][FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_op op[3];
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		put(kv, i * 7 % KEYS, 1);
	for (i = 0; i < TEXTS; i++)
		assert_int_equal(kv_put(kv, text_key(k[0], i), text_value(v, i), KV_NONE),
				 0);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < KEYS; i += 5)
		put(kv, i, 2);
	for (i = 2; i < KEYS; i += 10)
		assert_int_equal(fixture_delete(kv, i, KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 1; i < KEYS; i += 20)
		put(kv, i, 3);
	op[0] = (struct kv_op){ KV_DELETE_RANGE, fixture_key(k[0], 30),
				fixture_key(k[1], 34) };
	op[1] = (struct kv_op){ KV_PUT, kv_slice(odd_key, sizeof(odd_key)), kv_str("") };
	op[2] = (struct kv_op){ KV_PUT, kv_str(""), fixture_value(v, 7, 1, 1000) };
	assert_int_equal(kv_write(kv, op, 3, KV_SYNC), 0);
	assert_int_equal(fixture_put(kv, KEYS - 1, 4, bytes_of(KEYS - 1), KV_SYNC), 0);
}

static unsigned int version_of(unsigned int key)
{
	if (key == KEYS - 1)
		return 4;
	if ((key >= 30 && key < 34) || key % 10 == 2)
		return 0;
	if (key % 20 == 1)
		return 3;
	return key % 5 ? 1 : 2;
}

static void assert_value(struct kv *kv, struct kv_slice key, struct kv_slice want)
{
	struct kv_buf b = { 0 };

	assert_int_equal(kv_get(kv, key, &b), 0);
	assert_int_equal(kv_compare(kv_slice(b.data, b.len), want), 0);
	kv_buf_free(&b);
}

static size_t count(struct kv *kv, bool back)
{
	struct kv_cursor *c;
	size_t n = 0;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = back ? kv_prev(c) : kv_next(c)))
		n++;
	assert_int_equal(error, -ENOENT);
	kv_cursor_close(c);
	return n;
}

static void assert_store(struct kv *kv)
{
	char k[FIXTURE_KEY], v[FIXTURE_VALUE];
	struct kv_msg why = { "" };
	struct kv_buf b = { 0 };
	unsigned int i;
	size_t n = 2 + TEXTS;

	for (i = 0; i < KEYS; i++) {
		unsigned int version = version_of(i);

		n += version != 0;
		if (version)
			assert_value(kv, fixture_key(k, i),
				     fixture_value(v, i, version, bytes_of(i)));
		else
			assert_int_equal(kv_get(kv, fixture_key(k, i), &b), -ENOENT);
	}
	kv_buf_free(&b);
	for (i = 0; i < TEXTS; i++)
		assert_value(kv, text_key(k, i), text_value(v, i));
	assert_value(kv, kv_slice(odd_key, sizeof(odd_key)), kv_str(""));
	assert_value(kv, kv_str(""), fixture_value(v, 7, 1, 1000));
	assert_int_equal(count(kv, false), n);
	assert_int_equal(count(kv, true), n);
	if (kv_verify(kv, &why))
		fail_msg("%s", why.text);
}

/* ---- files ---- */

static int add_name(void *arg, const char *name)
{
	struct golden *g = arg;

	if (!strcmp(name, "LOCK") || strstr(name, ".spare") || !strcmp(name, "manifest"))
		return 0;
	assert_true(g->n < FILES);
	(void)snprintf(g->file[g->n++].name, NAME, "%s%.30s", g->prefix, name);
	return 0;
}

static void take_files(struct env *env, const char *dir, struct golden *g)
{
	char path[ENV_PATH_MAX];
	size_t i;

	memset(g, 0, sizeof(*g));
	g->prefix = "";
	if (env->ops->list(env, dir, add_name, g))
		fail_msg("%s: cannot be listed; run the tests in the project's directory",
			 dir);
	assert_int_equal(env_path(path, dir, "manifest"), 0);
	g->prefix = "manifest/";
	assert_int_equal(env->ops->list(env, path, add_name, g), 0);
	for (i = 0; i < g->n; i++) {
		assert_int_equal(env_path(path, dir, g->file[i].name), 0);
		assert_int_equal(env_read_file(env, path, FILE_MAX, &g->file[i].bytes),
				 0);
	}
}

static void free_files(struct golden *g)
{
	while (g->n)
		kv_buf_free(&g->file[--g->n].bytes);
}

static bool is_log(const char *name)
{
	return strstr(name, ".log") != NULL;
}

static void put_files(const char *dir, const struct golden *g, bool cut)
{
	static const uint8_t zeros[SEGMENT];
	char path[ENV_PATH_MAX];
	size_t i, n;
	FILE *f;

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(env_path(path, dir, "manifest"), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	for (i = 0; i < g->n; i++) {
		const uint8_t *p = g->file[i].bytes.data;

		n = g->file[i].bytes.len;
		while (cut && is_log(g->file[i].name) && n && !p[n - 1])
			n--;
		assert_int_equal(env_path(path, dir, g->file[i].name), 0);
		f = fopen(path, "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(p, 1, n, f), n);
		if (!cut && is_log(g->file[i].name))
			assert_int_equal(fwrite(zeros, 1, SEGMENT - n, f), SEGMENT - n);
		assert_int_equal(fclose(f), 0);
	}
}

static const char *data_dir(const char *store)
{
	static char path[256];
	const char *slash = strrchr(__BASE_FILE__, '/');

	(void)snprintf(path, sizeof(path), "%.*s/data/%s",
		       slash ? (int)(slash - __BASE_FILE__) : 1,
		       slash ? __BASE_FILE__ : ".", store);
	return path;
}

static struct kv_buf *find_file(struct golden *g, const char *part)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (strstr(g->file[i].name, part))
			return &g->file[i].bytes;
	fail_msg("there is no %s", part);
	return NULL;
}

static int open_files(const struct golden *g, struct kv **kv, struct kv_msg *why)
{
	scratch_remove(scratch);
	put_files(scratch, g, false);
	why->text[0] = '\0';
	*kv = NULL;
	return kv_open(&lsm_engine, env_posix(), scratch, OPTIONS, kv, why);
}

/* Can this program read stores[i]? */
static bool is_readable(size_t i)
{
#ifdef HAVE_LZ4
	(void)i;
	return true;
#else
	return i == 0;
#endif
}

/* ---- making them ---- */

static void write_anew(const char *store, const char *options)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 20 }), *dead;
	struct env_sim_point p = { .loss = SIM_LOSE_NONE };
	struct kv_msg why = { "" };
	struct golden g;
	struct kv *kv;

	if (kv_open(&lsm_engine, env_sim_env(sim), "store", options, &kv, &why))
		fail_msg("%s", why.text);
	make_store(kv);
	assert_store(kv);
	p.at = env_sim_position(sim);
	dead = env_sim_crash(sim, &p, false);
	take_files(env_sim_env(dead), "store", &g);
	env_sim_free(dead);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(sim);
	if (getenv("KV_GOLDEN_WRITE")) {
		scratch_remove(data_dir(store));
		put_files(data_dir(store), &g, true);
	}
	free_files(&g);
}

static void test_stores_are_made_as_these_were(void **state)
{
	(void)state;
	write_anew(stores[0], OPTIONS);
	if (is_readable(1))
		write_anew(stores[1], OPTIONS ",compression=lz4");
}

/* ---- reading them ---- */

static void test_golden_stores_open(void **state)
{
	struct kv_recovery found;
	struct kv_msg why;
	struct golden g;
	struct kv *kv;
	size_t i;

	(void)state;
	for (i = 0; i < 2 && is_readable(i); i++) {
		take_files(env_posix(), data_dir(stores[i]), &g);
		(void)find_file(&g, ".sst");
		(void)find_file(&g, ".blob");
		if (open_files(&g, &kv, &why))
			fail_msg("%s: %s", stores[i], why.text);
		kv_recovery(kv, &found);
		assert_true(found.records_replayed >= 2);
		assert_int_equal(found.bytes_dropped, 0);
		assert_store(kv);
		assert_int_equal(kv_compact(kv), 0);
		assert_store(kv);
		assert_int_equal(kv_close(kv), 0);
		assert_int_equal(
			kv_open(&lsm_engine, env_posix(), scratch, "", &kv, &why), 0);
		assert_store(kv);
		assert_int_equal(kv_close(kv), 0);
		free_files(&g);
	}
}

/* ---- what is newer ---- */

struct change { /* of 16 bits of a header */
	const char *file;
	size_t at, crc_at; /* the CRC covers all before it */
	uint16_t value;
	bool opens;
};

static const struct change changes[] = {
	{ "STORE", 8, 44, 2, false },       /* major version */
	{ "STORE", 10, 44, 9, true },       /* minor version */
	{ "STORE", 12, 44, 1, false },      /* incompatible features: the lowest */
	{ "STORE", 14, 44, 0x8000, false }, /* ... and the highest */
	{ ".blob", 8, 44, 2, false },       { ".blob", 10, 44, 9, true },
	{ ".blob", 16, 44, 1, false },      { ".blob", 22, 44, 0x8000, false },
	{ "manifest/", 8, 60, 2, false },   { "manifest/", 10, 60, 9, true },
	{ "manifest/", 40, 60, 1, false },  { "manifest/", 46, 60, 0x8000, false },
};

static void test_newer_files_and_unknown_flags_are_refused(void **state)
{
	struct kv_msg why;
	struct golden g;
	struct kv *kv;
	size_t i;

	(void)state;
	take_files(env_posix(), data_dir(stores[0]), &g);
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		uint8_t *p = find_file(&g, c->file)->data;
		uint16_t before = port_get_le16(p + c->at);
		int error;

		port_put_le16(p + c->at, c->value);
		port_put_le32(p + c->crc_at, port_crc32c(0, p, c->crc_at));
		error = open_files(&g, &kv, &why);
		if (error != (c->opens ? 0 : -EPROTONOSUPPORT))
			fail_msg("%s, %u at %zu: %d \"%s\"", c->file, c->value, c->at,
				 error, why.text);
		if (c->opens) {
			assert_store(kv);
			assert_int_equal(kv_close(kv), 0);
		} else {
			assert_non_null(strstr(why.text, "newer"));
		}
		port_put_le16(p + c->at, before);
		port_put_le32(p + c->crc_at, port_crc32c(0, p, c->crc_at));
	}
	free_files(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_stores_are_made_as_these_were),
		LEAK_CHECKED(test_golden_stores_open),
		LEAK_CHECKED(test_newer_files_and_unknown_flags_are_refused),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
