/* SPDX-License-Identifier: MIT */
/*
 * env_bench.c - one file on the homes of env.h: random reads of 4 KiB from the device and from
 * the page cache, one after the other and in a batch; writes; and writes with sync.
 *
 * The homes take turns, round by round, so that what else the machine does meets both.
 */
#include "../../sprint-1-core-memory/bench/bench_row.h"

#include <unistd.h>

#include "../env.h"

enum { PAGE = 4096, BATCH = 64, ROUNDS = 41, HOMES = 2 };

static const uint64_t file_bytes = 256ull << 20;

struct bench {
	const char *path;
	struct env *env[HOMES];
	struct file *file[HOMES];
	uint64_t random; /* a state */
	uint64_t ns[HOMES][ROUNDS];
	uint8_t data[BATCH][PAGE];
};

static struct bench bench = { .random = 1 };

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t random_page(struct bench *b)
{
	return bench_random(&b->random) % (file_bytes / PAGE) * PAGE;
}

/* ---- what is measured: one round on one home, in ns ---- */

static void make_batch(struct bench *b, size_t home, struct file_read *read)
{
	size_t i;

	for (i = 0; i < BATCH; i++)
		read[i] = (struct file_read){ .file = b->file[home],
					      .offset = random_page(b),
					      .data = b->data[i],
					      .len = PAGE };
}

static uint64_t read_batch(struct bench *b, size_t home, const struct file_read *read)
{
	struct file_read now[BATCH];
	uint64_t begun;
	size_t i;

	memcpy(now, read, sizeof(now));
	begun = bench_now_ns();
	b->env[home]->ops->read_many(b->env[home], now, BATCH);
	begun = bench_now_ns() - begun;
	for (i = 0; i < BATCH; i++)
		if (now[i].error || now[i].got != PAGE)
			bench_die("a read failed");
	return begun;
}

static uint64_t read_cold(struct bench *b, size_t home)
{
	struct file_read read[BATCH];
	struct file *f = b->file[home];

	make_batch(b, home, read);
	f->ops->advise(f, 0, 0, FILE_DONT_NEED);
	return read_batch(b, home, read);
}

static uint64_t read_cold_in_turn(struct bench *b, size_t home)
{
	struct file_read read[BATCH];
	struct file *f = b->file[home];
	uint64_t begun;
	size_t i;

	make_batch(b, home, read);
	f->ops->advise(f, 0, 0, FILE_DONT_NEED);
	begun = bench_now_ns();
	for (i = 0; i < BATCH; i++)
		bench_must(file_read(f, read[i].offset, read[i].data, PAGE, &read[i].got),
			   "read");
	return bench_now_ns() - begun;
}

static uint64_t read_cached(struct bench *b, size_t home)
{
	struct file_read read[BATCH];

	make_batch(b, home, read);
	(void)read_batch(b, home, read);
	return read_batch(b, home, read);
}

static uint64_t read_one(struct bench *b, size_t home)
{
	uint64_t offset = random_page(b), begun;
	size_t got;

	bench_must(file_read(b->file[home], offset, b->data[0], PAGE, &got), "read");
	begun = bench_now_ns();
	bench_must(file_read(b->file[home], offset, b->data[0], PAGE, &got), "read");
	return bench_now_ns() - begun;
}

static uint64_t write_one(struct bench *b, size_t home)
{
	uint64_t offset = random_page(b), begun = bench_now_ns();

	bench_must(file_write(b->file[home], offset, b->data[0], PAGE), "write");
	return bench_now_ns() - begun;
}

static uint64_t write_synced(struct bench *b, size_t home)
{
	uint64_t offset = random_page(b), begun = bench_now_ns();

	bench_must(file_write(b->file[home], offset, b->data[0], PAGE), "write");
	bench_must(file_sync(b->file[home]), "sync");
	return bench_now_ns() - begun;
}

/* ---- rows ---- */

static void row(struct bench *b, const char *name,
		uint64_t (*round)(struct bench *b, size_t home))
{
	size_t i, h;

	for (i = 0; i < ROUNDS; i++)
		for (h = 0; h < HOMES; h++)
			b->ns[(h + i) % HOMES][i] = round(b, (h + i) % HOMES);
	for (h = 0; h < HOMES; h++)
		port_sort(b->ns[h], ROUNDS, sizeof(uint64_t), compare_u64);
	printf("%-36s", name);
	for (h = 0; h < HOMES; h++)
		printf(" %10.1f (%.1f)", (double)b->ns[h][ROUNDS / 2] * 1e-3,
		       (double)b->ns[h][ROUNDS / 10] * 1e-3);
	printf(" %9.2fx\n", (double)b->ns[0][ROUNDS / 2] / (double)b->ns[1][ROUNDS / 2]);
}

static void make_file(struct bench *b)
{
	uint64_t i;
	size_t h;

	for (h = 0; h < HOMES; h++)
		bench_must(env_open(b->env[h], b->path, ENV_READ | ENV_WRITE | ENV_CREATE,
				    &b->file[h]),
			   b->path);
	memset(b->data, 'x', sizeof(b->data));
	for (i = 0; i < file_bytes; i += sizeof(b->data))
		bench_must(file_write(b->file[0], i, b->data, sizeof(b->data)), b->path);
	bench_must(file_sync(b->file[0]), "sync");
	for (h = 0; h < HOMES; h++)
		b->file[h]->ops->advise(b->file[h], 0, 0, FILE_RANDOM);
}

int main(int argc, char **argv)
{
	struct bench *b = &bench;
	struct kv_msg why = { "" };
	size_t h;

	b->path = argc > 1 ? argv[1] : "build/env-bench.tmp";
	if (argc > 2 || b->path[0] == '-') {
		puts("Usage: env_bench [FILE]\n"
		     "Measures the homes of env.h on a new file of 256 MiB (default "
		     "build/env-bench.tmp), which is removed.");
		return b->path[0] == '-' && argc == 2 ? 0 : 2;
	}
	b->env[0] = env_posix();
	if (env_uring(&b->env[1], &why)) {
		printf("nothing to compare: %s\n", why.text);
		return 0;
	}
	make_file(b);
	printf("median (tenth) of %d rounds in us        posix              uring\n",
	       ROUNDS);
	row(b, "64 cold reads, one after the other", read_cold_in_turn);
	row(b, "64 cold reads by read_many()", read_cold);
	row(b, "64 cached reads by read_many()", read_cached);
	row(b, "one cached read", read_one);
	row(b, "one write", write_one);
	row(b, "write and sync", write_synced);
	for (h = 0; h < HOMES; h++)
		file_close(b->file[h]);
	bench_must(b->env[0]->ops->unlink(b->env[0], b->path), b->path);
	return 0;
}
