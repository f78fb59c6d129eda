/* SPDX-License-Identifier: MIT */
/*
 * lsm_merge_bench.c - what an entry costs that a merge brings forth, over the number of sources
 * and over how their keys lie among each other.
 *
 * An entry is "user" with twenty digits and a value of 100 bytes. Random: each entry's source
 * is drawn, so that the winner changes all the time. Runs: a source has a thousand keys in a
 * row. The sources are arrays, whose own moves cost next to nothing, then tables, of which all
 * blocks are in the cache. What a compaction does besides is measured last: to decide what to
 * keep, and to write it into tables.
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"

#include "../lsm_merge.h"
#include "../neon_lsm_ops.h"
#include "../sst.h"

enum {
	ENTRIES = 200000,
	KEY_BYTES = 24,
	VALUE_BYTES = 100,
	SOURCES_MAX = 16,
	RUN = 1000
};

struct entry {
	char key[KEY_BYTES];
	uint64_t stamp;
};

struct array { /* a source */
	struct lsm_cursor cursor;
	const struct entry *entry;
	size_t n, at;
};

struct bench {
	char dir[ENV_PATH_MAX], path[ENV_PATH_MAX];
	struct lsm_cache *cache;
	unsigned int sources;
	struct entry *entry[SOURCES_MAX];
	size_t entries[SOURCES_MAX];
	struct sst *table[SOURCES_MAX];
	struct lsm_cursor *merge;
	bool keep, write;
	struct lsm_keep keeper;
	struct sst_builder *builder;
	uint64_t files;
};

static char value_bytes[VALUE_BYTES];

/* ---- arrays as sources ---- */

static int array_show(struct array *a)
{
	if (a->at >= a->n) {
		a->at = a->n;
		return -ENOENT;
	}
	a->cursor.key = kv_slice(a->entry[a->at].key, KEY_BYTES);
	a->cursor.value = kv_slice(value_bytes, VALUE_BYTES);
	a->cursor.stamp = a->entry[a->at].stamp;
	return 0;
}

static int array_seek(struct lsm_cursor *c, struct kv_slice key, uint64_t stamp)
{
	struct array *a = container_of(c, struct array, cursor);

	for (a->at = 0; a->at < a->n; a->at++)
		if (lsm_entry_compare(kv_slice(a->entry[a->at].key, KEY_BYTES),
				      a->entry[a->at].stamp, key, stamp) >= 0)
			break;
	return array_show(a);
}

static int array_next(struct lsm_cursor *c)
{
	struct array *a = container_of(c, struct array, cursor);

	a->at = a->at == a->n ? 0 : a->at + 1;
	return array_show(a);
}

static int array_prev(struct lsm_cursor *c)
{
	struct array *a = container_of(c, struct array, cursor);

	a->at = (a->at ? a->at : a->n + 1) - 1;
	return array_show(a);
}

static void array_close(struct lsm_cursor *c)
{
	port_free(container_of(c, struct array, cursor));
}

static struct lsm_cursor *open_array(const struct entry *e, size_t n)
{
	static const struct lsm_cursor_ops ops = { array_seek, array_next, array_prev,
						   array_close };
	struct array *a = port_alloc(sizeof(*a));

	if (!a)
		bench_die("no memory for a source");

	*a = (struct array){ .cursor.ops = &ops, .entry = e, .n = n, .at = n };
	return &a->cursor;
}

/* ---- tables as sources ---- */

static struct sst_builder *new_table(struct bench *b, uint64_t file)
{
	struct sst_builder_config c = {
		.env = env_posix(),
		.path = b->path,
		.file = file,
		.store_id = 1,
		.shape = { .block_bytes = 4096,
			   .partition_bytes = 4096,
			   .restart_interval = 16,
			   .filter_bits = 10 },
	};
	struct sst_builder *builder;
	struct kv_msg why;
	char name[32];

	(void)snprintf(name, sizeof(name), "%llu.sst", (unsigned long long)file);
	bench_must(env_path(b->path, b->dir, name), b->dir);
	if (sst_builder_new(&c, &builder, &why))
		bench_die("%s", why.text);
	return builder;
}

static void write_entry(struct sst_builder *builder, struct kv_slice key, uint64_t stamp,
			struct kv_slice value)
{
	struct kv_msg why;

	if (sst_builder_add(builder, key, lsm_key_hash(key), stamp, value, &why))
		bench_die("%s", why.text);
}

static void make_table(struct bench *b, unsigned int source)
{
	const struct sst_config c = { .env = env_posix(),
				      .cache = b->cache,
				      .store_id = 1 };
	uint64_t file = ++b->files;
	struct sst_builder *builder = new_table(b, file);
	struct sst_summary s;
	struct kv_msg why;
	size_t i;

	for (i = 0; i < b->entries[source]; i++)
		write_entry(builder, kv_slice(b->entry[source][i].key, KEY_BYTES),
			    b->entry[source][i].stamp,
			    kv_slice(value_bytes, VALUE_BYTES));
	if (sst_builder_finish(builder, &s, &why))
		bench_die("%s", why.text);
	sst_summary_free(&s);
	if (sst_open(&c, b->path, file, NULL, &b->table[source], &why))
		bench_die("%s", why.text);
}

/* ---- a merge ---- */

static void draw(struct bench *b, unsigned int sources, bool runs)
{
	uint64_t state = 88172645463325252u;
	size_t i;

	b->sources = sources;
	memset(b->entries, 0, sizeof(b->entries));
	for (i = 0; i < ENTRIES; i++) {
		unsigned int s = runs ? (unsigned int)(i / RUN % sources)
				      : (unsigned int)bench_random_below(&state, sources);
		struct entry *e = &b->entry[s][b->entries[s]++];
		char key[KEY_BYTES + 1];

		(void)snprintf(key, sizeof(key), "user%020llu",
			       (unsigned long long)i * 92233720368547u);
		memcpy(e->key, key, KEY_BYTES);
		e->stamp = lsm_stamp(i + 1, LSM_PUT);
	}
}

static void open_merge(struct bench *b, bool tables)
{
	struct lsm_cursor *source[SOURCES_MAX];
	struct kv_msg why;
	unsigned int i;

	for (i = 0; i < b->sources; i++)
		if (!tables)
			source[i] = open_array(b->entry[i], b->entries[i]);
		else if (sst_cursor(b->table[i], 0, &source[i], &why))
			bench_die("%s", why.text);
	bench_must(lsm_merge(source, b->sources, &b->merge), "a merge");
}

static void end_output(struct bench *b)
{
	struct sst_summary s;
	struct kv_msg why;
	struct env *env = env_posix();

	if (sst_builder_finish(b->builder, &s, &why))
		bench_die("%s", why.text);
	sst_summary_free(&s);
	bench_must(env->ops->unlink(env, b->path), b->path);
	b->builder = NULL;
}

/* One entry: merged, and with keep and write what a compaction does with it. */
static int take_entry(struct bench *b)
{
	int error = lsm_next(b->merge);

	if (!error && b->keep &&
	    lsm_keep(&b->keeper, b->merge->key, b->merge->stamp) != 1)
		bench_die("an entry was dropped");
	if (!error && b->write) {
		if (!b->builder)
			b->builder = new_table(b, ++b->files);
		write_entry(b->builder, b->merge->key, b->merge->stamp, b->merge->value);
	}
	if (error == -ENOENT && b->builder)
		end_output(b);
	return error;
}

static uint64_t merge_some(void *arg, size_t ops)
{
	struct bench *b = arg;
	uint64_t begun = bench_now_ns();

	while (ops--) {
		int error = take_entry(b);

		if (error && error != -ENOENT)
			bench_die("a merge: %s", strerror(-error));
		bench_sink += b->merge->stamp;
	}
	return bench_now_ns() - begun;
}

static void measure(struct bench *b, const char *what, bool tables)
{
	struct lsm_keep_config c = { .snapshots = 0 };

	bench_must(lsm_keep_begin(&b->keeper, &c), "what to keep");
	open_merge(b, tables);
	bench_group(); /* no row is set against another */
	bench_row(what, b->sources, 0, merge_some, b);
	lsm_cursor_close(b->merge);
	if (b->builder)
		end_output(b);
	lsm_keep_end(&b->keeper);
}

static void measure_all(struct bench *b, bool runs)
{
	unsigned int sources, i;

	for (sources = 1; sources <= SOURCES_MAX; sources *= 2) {
		draw(b, sources, runs);
		measure(b, "arrays", false);
		for (i = 0; i < sources; i++)
			make_table(b, i);
		measure(b, "tables", true);
		b->keep = true;
		measure(b, "tables, and what to keep", true);
		b->write = true;
		measure(b, "tables into a table", true);
		b->keep = b->write = false;
		for (i = 0; i < sources; i++)
			sst_close(b->table[i]);
	}
}

int main(int argc, char **argv)
{
	struct lsm_cache_config cache = { .bytes = 256 << 20 };
	struct env *env = env_posix();
	static struct bench b;
	unsigned int i;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr,
			"usage: %s [DIRECTORY]\n"
			"Measures merges; tables are made in a directory of its "
			"own below DIRECTORY (.).\n",
			argv[0]);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	bench_name_store(b.dir, argc == 2 ? argv[1] : ".", "lsm_merge_bench.tmp");
	bench_remove_store(b.dir);
	bench_must(env->ops->mkdir(env, b.dir), b.dir);
	bench_must(lsm_cache_new(&cache, &b.cache), "a cache");
	for (i = 0; i < SOURCES_MAX; i++)
		b.entry[i] = bench_alloc(ENTRIES * sizeof(struct entry));
	bench_section("merging, random");
	measure_all(&b, false);
	bench_section("merging, a thousand keys of a source in a row");
	measure_all(&b, true);
	for (i = 0; i < SOURCES_MAX; i++)
		port_free_aligned(b.entry[i]);
	lsm_cache_free(b.cache);
	bench_remove_store(b.dir);
	return 0;
}
