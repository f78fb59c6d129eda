/* SPDX-License-Identifier: MIT */
/*
 * lsm_draw.c - an LSM-tree so small that it can be looked at: how each style of compaction
 * shapes it, flush by flush, what that costs to write, and one table as text. The chapter
 * shows what it prints.
 *
 * After each flush it waits until no compaction has anything to do, so what is seen does not
 * depend on threads. The store of the last part is left in build/lsm-draw.
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"
#include "../lsm_store.h"

#include <time.h>

static char dir[] = "build/lsm-draw", manifest[] = "build/lsm-draw/manifest";

enum {
	FLUSHES = 16,
	PUTS = 64,   /* a flush */
	KEYS = 4096, /* to choose from */
	VALUE = 40,  /* bytes */
	MULTIPLIER = 1103515245,
};

#define SMALL                                                                            \
	"memory_bytes=4m,memtable_bytes=256k,segment_bytes=64k,table_bytes=4k,huge=off," \
	"level_bytes=12k,ratio=3,flushed_runs=2"

static struct kv *open_store(const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv;

	bench_remove_store(manifest);
	bench_remove_store(dir);
	if (kv_open(&lsm_engine, env_posix(), dir, options, &kv, &why))
		bench_die("%s", why.text);
	return kv;
}

static void put(struct kv *kv, struct kv_slice key, struct kv_slice value)
{
	const struct kv_op op = { KV_PUT, key, value };

	bench_must(kv_write(kv, &op, 1, KV_NONE), "put");
}

/* ---- shapes ---- */

static bool is_settled(struct lsm_store *s)
{
	struct lsm_version *v;
	struct lsm_pick pick;
	int found;

	v = lsm_versions_lock(s->versions);
	found = lsm_pick(v, &s->layout, &pick);
	lsm_versions_unlock(s->versions);
	if (found < 0)
		bench_die("no memory");
	if (found)
		lsm_pick_free(&pick);
	port_mutex_lock(&s->task_lock);
	found |= s->working > 0;
	port_mutex_unlock(&s->task_lock);
	return !found;
}

static void settle(struct kv *kv)
{
	const struct timespec little = { .tv_nsec = 1000000 };

	bench_must(lsm_background_flush(lsm_store(kv)), "flush");
	while (!is_settled(lsm_store(kv)))
		(void)nanosleep(&little, NULL);
}

static uint64_t entries_of(const struct lsm_run *r)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < r->tables; i++)
		n += r->table[i]->summary.entries;
	return n;
}

/* A number a run: its entries. Newest first. */
static void print_shape(struct kv *kv)
{
	struct lsm_version *v = lsm_versions_current(lsm_store(kv)->versions);
	unsigned int level;
	size_t run;

	for (level = 0; level < LSM_LEVELS; level++) {
		if (!v->level[level].runs)
			continue;
		printf("  L%u:", level);
		for (run = 0; run < v->level[level].runs; run++)
			printf(" %llu",
			       (unsigned long long)entries_of(&v->level[level].run[run]));
	}
	(void)putchar('\n');
	lsm_version_unref(v);
}

static void print_cost(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	if (!strcmp(name, "write_amplification_x100") ||
	    !strcmp(name, "space_amplification_x100") ||
	    !strcmp(name, "read_amplification_runs"))
		printf("  %s %llu", name, (unsigned long long)value);
}

static void show_style(const char *style)
{
	char options[300], key[32], value[VALUE];
	uint32_t random = 1;
	struct kv *kv;
	int flush, i;

	(void)snprintf(options, sizeof(options), SMALL ",style=%s", style);
	memset(value, 'v', sizeof(value));
	kv = open_store(options);
	printf("\nstyle=%s: entries of each run after each flush of %d puts\n", style,
	       PUTS);
	for (flush = 1; flush <= FLUSHES; flush++) {
		for (i = 0; i < PUTS; i++) {
			random = random * MULTIPLIER + 12345;
			(void)snprintf(key, sizeof(key), "user%04u",
				       (random >> 16) % KEYS);
			put(kv, kv_str(key), kv_slice(value, sizeof(value)));
		}
		settle(kv);
		printf("%4d", flush);
		print_shape(kv);
	}
	kv_stats(kv, print_cost, NULL);
	(void)putchar('\n');
	bench_must(kv_close(kv), "close");
}

/* ---- a table ---- */

static int print_line(void *arg, const char *text)
{
	(void)arg;
	printf("%s\n", text);
	return 0;
}

static void show_table(void)
{
	static const char *const words[] = { "userant", "userbear", "userbee", "usercat",
					     "userdog", "usereel",  "userfox" };
	const struct kv_op gone[] = {
		{ KV_DELETE, kv_str("usercat"), { 0 } },
		{ KV_DELETE_RANGE, kv_str("usere"), kv_str("userg") },
	};
	struct kv *kv = open_store("restart_interval=4,memory_bytes=4m,huge=off");
	struct lsm_version *v;
	struct kv_msg why = { "" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		put(kv, kv_str(words[i]), kv_str("a value"));
	for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		bench_must(kv_write(kv, &gone[i], 1, KV_NONE), "delete");
	settle(kv);
	v = lsm_versions_current(lsm_store(kv)->versions);
	printf("\na table: seven puts, a delete and a range delete, flushed\n");
	if (sst_dump(v->level[0].run[0].table[0]->sst, true, print_line, NULL, &why))
		bench_die("%s", why.text);
	lsm_version_unref(v);
	bench_must(kv_close(kv), "close");
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		(void)fprintf(stderr, "Usage: lsm_draw\n"
				      "Prints small LSM-trees as they grow under each "
				      "style of compaction, and a table.\n");
		return 2;
	}
	show_style("lazy");
	show_style("leveled");
	show_style("tiered");
	show_table();
	return 0;
}
