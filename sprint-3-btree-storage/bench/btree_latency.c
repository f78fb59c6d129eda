/* SPDX-License-Identifier: MIT */
/*
 * btree_latency.c - what the B+tree engine makes people wait for: puts and gets while
 * checkpoints are written, and while none is; scans of 1,000 pairs, opening after the process
 * was killed; and loading in bulk beside loading in random order, until all is in the file.
 *
 * A pair is 24 and 100 bytes. Rates are wall clock. A store "after a kill" is a copy of an open
 * store's files: what a process that dies at that moment leaves.
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"

#include <getopt.h>

#include "../btree_store.h"

enum {
	KEY_BYTES = 24,
	VALUE_BYTES = 100,
	SCANS = 20000,
	SCAN_PAIRS = 1000,
	TAIL_BYTES = 64 << 20, /* of log, that opening replays */
	COPY_BYTES = 1 << 20,
	FILL_PERCENT = 95,
	CHECKPOINTS = 5,   /* beside which puts, and then gets, are timed */
	LOOK_EVERY = 1000, /* operations between two looks at the statistics */
};

struct bench {
	char dir[ENV_PATH_MAX], copy[ENV_PATH_MAX];
	uint64_t records, random;
	uint64_t *number; /* keys, ascending */
	uint64_t *ns;     /* samples; room for `records` and for SCANS */
	struct kv *kv;
	bool loads; /* these alone */
	uint64_t writer_random;
	uint32_t writer_stops; /* atomic */
};

static uint64_t now_ns(void)
{
	return env_posix()->ops->now_ns(env_posix());
}

static void make_key(uint64_t number, char *key)
{
	int at;

	memcpy(key, "user", 4);
	for (at = KEY_BYTES; at > 4; number /= 10)
		key[--at] = (char)('0' + number % 10);
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void open_store(struct bench *b, const char *dir, const char *options)
{
	struct kv_msg why = { "" };

	if (kv_open(&btree_engine, env_posix(), dir, options, &b->kv, &why))
		bench_die("%s", why.text);
}

static void put_number(struct bench *b, uint64_t number)
{
	static const char value[VALUE_BYTES];
	char key[KEY_BYTES];

	make_key(number, key);
	bench_must(kv_put(b->kv, kv_slice(key, KEY_BYTES), kv_slice(value, VALUE_BYTES),
			  KV_NONE),
		   "put");
}

static uint64_t any(struct bench *b)
{
	return b->number[bench_random_below(&b->random, (size_t)b->records)];
}

static void print_samples(const char *what, uint64_t *ns, uint64_t n)
{
	static const unsigned int share[] = { 5000, 9900, 9990, 9999 };
	size_t i;

	port_sort(ns, n, sizeof(*ns), compare_numbers);
	printf("%-34s", what);
	for (i = 0; i < 4; i++)
		printf(" p%g %.3f", share[i] / 100.0,
		       (double)ns[(n - 1) * share[i] / 10000] / 1e6);
	printf(" max %.3f ms\n", (double)ns[n - 1] / 1e6);
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void take_stat(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (!strcmp(name, w->name))
		w->value = value;
}

static uint64_t stat_of(struct bench *b, const char *name)
{
	struct wanted w = { name, 0 };

	kv_stats(b->kv, take_stat, &w);
	return w.value;
}

/* ---- loading ---- */

struct input {
	const struct bench *bench;
	uint64_t next;
	char key[KEY_BYTES];
};

static int next_pair(void *arg, struct kv_slice *key, struct kv_slice *value)
{
	static const char bytes[VALUE_BYTES];
	struct input *in = arg;

	if (in->next == in->bench->records)
		return -ENOENT;
	make_key(in->bench->number[in->next++], in->key);
	*key = kv_slice(in->key, KEY_BYTES);
	*value = kv_slice(bytes, VALUE_BYTES);
	return 0;
}

static void measure_loads(struct bench *b)
{
	struct input in = { .bench = b };
	uint64_t begun, loaded, done, i;

	open_store(b, b->dir, "");
	begun = now_ns();
	bench_must(btree_bulk_load(b->kv, FILL_PERCENT, next_pair, &in), "bulk load");
	printf("bulk load, durable                 %.3f million/s\n",
	       (double)b->records * 1e3 / (double)(now_ns() - begun));
	bench_must(kv_close(b->kv), "close");
	bench_remove_store(b->dir);
	open_store(b, b->dir, "");
	begun = now_ns();
	/* Each number once, in no order: a step that has no divisor in common with their
	 * number. */
	for (i = 0; i < b->records; i++)
		put_number(b, b->number[i * 7368787 % b->records]);
	loaded = now_ns();
	bench_must(kv_close(b->kv), "close");
	done = now_ns();
	printf("random load, puts alone            %.3f million/s\n"
	       "random load, durable and closed    %.3f million/s\n",
	       (double)b->records * 1e3 / (double)(loaded - begun),
	       (double)b->records * 1e3 / (double)(done - begun));
}

/* ---- waiting ---- */

static void measure_scans(struct bench *b)
{
	struct kv_cursor *c;
	char key[KEY_BYTES];
	unsigned int i, n;
	uint64_t begun;
	int error;

	open_store(b, b->dir, "");
	for (i = 0; i < SCANS; i++) {
		make_key(any(b), key);
		begun = now_ns();
		bench_must(kv_cursor(b->kv, NULL, &c), "cursor");
		error = kv_seek(c, kv_slice(key, KEY_BYTES));
		for (n = 1; !error && n < SCAN_PAIRS; n++)
			error = kv_next(c);
		kv_cursor_close(c);
		b->ns[i] = now_ns() - begun;
	}
	print_samples("scan of 1,000", b->ns, SCANS);
	bench_must(kv_close(b->kv), "close");
}

/* ---- beside checkpoints ---- */

static bool checkpoint_runs(struct bench *b)
{
	struct btree_store *s = btree_store(b->kv);
	bool runs;

	port_mutex_lock(&s->task_lock);
	runs = s->working;
	port_mutex_unlock(&s->task_lock);
	return runs;
}

static uint64_t any_of_writer(struct bench *b)
{
	return b->number[bench_random_below(&b->writer_random, (size_t)b->records)];
}

static void put_once(struct bench *b)
{
	put_number(b, any_of_writer(b));
}

static void get_once(struct bench *b)
{
	static struct kv_buf value;
	char key[KEY_BYTES];

	make_key(any(b), key);
	bench_must(kv_get(b->kv, kv_slice(key, KEY_BYTES), &value), "get");
}

static void writer(void *arg)
{
	struct bench *b = arg;

	while (!port_load_acquire(&b->writer_stops))
		put_once(b);
}

/* Operations one behind the other until so many checkpoints are written, 0: as many operations
 * as there are pairs. Timed are those that begin, or end, while one is being written; those
 * that find no room for their sample are not. */
static void measure_beside(struct bench *b, const char *what,
			   void (*once)(struct bench *), unsigned int checkpoints)
{
	uint64_t before = stat_of(b, "checkpoints"), spent = stat_of(b, "checkpoint_ns"),
		 first = now_ns(), begun, took, i, n = 0, written;
	bool beside;

	for (i = 1;; i++) {
		beside = checkpoints && checkpoint_runs(b);
		begun = now_ns();
		once(b);
		took = now_ns() - begun;
		beside |= !checkpoints || checkpoint_runs(b);
		if (beside && n < b->records)
			b->ns[n++] = took;
		if (i % LOOK_EVERY)
			continue;
		written = stat_of(b, "checkpoints") - before;
		if (checkpoints ? written >= checkpoints : i >= b->records)
			break;
	}
	if (checkpoints)
		printf("(%llu checkpoints, written in %.0f%% of %.1f s; %llu operations "
		       "beside them)\n",
		       (unsigned long long)written,
		       (double)(stat_of(b, "checkpoint_ns") - spent) * 100 /
			       (double)(now_ns() - first),
		       (double)(now_ns() - first) / 1e9, (unsigned long long)n);
	print_samples(what, b->ns, n);
}

static void measure_reads_beside(struct bench *b, const char *what,
				 unsigned int checkpoints)
{
	struct env *env = env_posix();
	struct env_task *task;

	b->writer_stops = 0;
	bench_must(env->ops->spawn(env, "writer", writer, b, &task), "spawn");
	measure_beside(b, what, get_once, checkpoints);
	port_store_release(&b->writer_stops, (uint32_t)1);
	env->ops->join(env, task);
}

static void measure_checkpoints(struct bench *b)
{
	open_store(b, b->dir, "checkpoint_bytes=1099511627776");
	measure_beside(b, "put, no checkpoint", put_once, 0);
	measure_reads_beside(b, "get beside puts, no checkpoint", 0);
	bench_must(kv_close(b->kv), "close");
	open_store(b, b->dir, "checkpoint_bytes=16777216");
	measure_beside(b, "put, beside a checkpoint", put_once, CHECKPOINTS);
	measure_reads_beside(b, "get beside puts and a checkpoint", CHECKPOINTS);
	bench_must(kv_close(b->kv), "close");
}

/* ---- after a kill ---- */

static int copy_file(void *arg, const char *name)
{
	static uint8_t bytes[COPY_BYTES];
	struct bench *b = arg;
	struct env *env = env_posix();
	char from[ENV_PATH_MAX], to[ENV_PATH_MAX];
	struct file *in, *out;
	uint64_t at = 0;
	size_t got = 1;

	bench_must(env_path(from, b->dir, name), "path");
	bench_must(env_path(to, b->copy, name), "path");
	bench_must(env_open(env, from, ENV_READ, &in), from);
	bench_must(env_open(env, to, ENV_WRITE | ENV_CREATE, &out), to);
	for (; got; at += got) {
		bench_must(file_read(in, at, bytes, sizeof(bytes), &got), from);
		if (got)
			bench_must(file_write(out, at, bytes, got), to);
	}
	bench_must(file_sync(out), to);
	file_close(in);
	file_close(out);
	return 0;
}

static void measure_restart(struct bench *b)
{
	struct env *env = env_posix();
	struct kv_recovery found;
	uint64_t begun, took;

	open_store(b, b->dir, "checkpoint_bytes=1073741824");
	while (stat_of(b, "log_since_checkpoint") < TAIL_BYTES) {
		unsigned int i;

		for (i = 0; i < 1000; i++)
			put_number(b, any(b));
	}
	bench_must(env->ops->mkdir(env, b->copy), b->copy);
	bench_must(env->ops->list(env, b->dir, copy_file, b), "copy");
	bench_must(kv_close(b->kv), "close");
	begun = now_ns();
	open_store(b, b->copy, "");
	took = now_ns() - begun;
	kv_recovery(b->kv, &found);
	printf("opened after a kill                %.3f s, %llu records of the log\n",
	       (double)took / 1e9, (unsigned long long)found.records_replayed);
	bench_must(kv_close(b->kv), "close");
	bench_remove_store(b->copy);
}

static void measure_waits(struct bench *b)
{
	measure_scans(b);
	measure_checkpoints(b);
	measure_restart(b);
}

/* ---- main ---- */

static void usage(FILE *out)
{
	fputs("Usage: btree_latency [options]\n"
	      "Measures what the B+tree engine makes people wait for.\n\n"
	      "  --records N   pairs, from 100000 on (default 1000000)\n"
	      "  --loads       measures loading alone\n"
	      "  --dir DIR     stores are made below it, and removed (default build)\n"
	      "  --help        this text\n",
	      out);
}

static void parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "records", required_argument, NULL, 'r' },
		{ "dir", required_argument, NULL, 'd' },
		{ "loads", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *dir = "build";
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'r') {
			b->records = strtoull(optarg, &end, 10);
			if (*end || b->records < 100000 || b->records > UINT32_MAX)
				bench_die("\"%s\" pairs: give a number from 100000 on",
					  optarg);
		} else if (c == 'd') {
			dir = optarg;
		} else if (c == 'l') {
			b->loads = true;
		} else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind < argc)
		bench_die("unexpected \"%s\"; see --help", argv[optind]);
	bench_name_store(b->dir, dir, "btree-latency");
	bench_name_store(b->copy, dir, "btree-latency-copy");
}

int main(int argc, char **argv)
{
	static struct bench b = { .records = 1000000, .random = 1, .writer_random = 2 };
	uint64_t i, step = UINT64_MAX;

	parse(&b, argc, argv);
	bench_remove_store(b.dir);
	bench_remove_store(b.copy);
	b.number = bench_alloc(b.records * sizeof(*b.number));
	b.ns = bench_alloc(b.records * sizeof(*b.ns));
	step /= b.records;
	for (i = 0; i < b.records; i++)
		b.number[i] = i * step + bench_random_below(&b.random, (size_t)step);
	measure_loads(&b);
	if (!b.loads)
		measure_waits(&b);
	bench_remove_store(b.dir);
	port_free_aligned(b.number);
	port_free_aligned(b.ns);
	return 0;
}
