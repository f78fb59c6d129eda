/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_soak_tests.c - the LSM engine for a long time with the same amount of data: memory, files
 * and bytes on disk must not grow. KV_TORTURE=seconds runs it that long.
 *
 * Keys are drawn evenly and written anew for ever, with values in tables and in blob files,
 * deletes, deletes of ranges, snapshots, cursors, gets. The time is cut into ten parts, of each
 * of which the most is noted: once the store has its size, of the first half and of the
 * second, the second may have half as much again, for what a compaction under way needs: what
 * leaks has more in a long run.
 */
#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/kv_history.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-2-hash-storage/env.h"
#include "../lsm_engine.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define OPTIONS                                                                    \
	"memory_bytes=8m,memtable_bytes=256k,segment_bytes=256k,table_bytes=128k," \
	"level_bytes=512k,ratio=4,flushed_runs=2,blob_bytes=400,huge=off"

enum { KEYS = 20000, PARTS = 10, ROUND = 2000, USUAL_MS = 3000, FILLING = 4 };

struct use {
	uint64_t memory, files, disk;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t draw(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static struct kv_slice key_of(uint64_t n, char *buf)
{
	return kv_slice(buf,
			(size_t)snprintf(buf, 32, "key%06llu", (unsigned long long)n));
}

/* ---- what it takes ---- */

struct listing {
	const char *dir;
	struct use *use;
};

static int add_file(void *arg, const char *name)
{
	struct listing *l = arg;
	char path[2 * SCRATCH_PATH];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", l->dir, name);
	/* A file may go while the directory is read. */
	if (!stat(path, &st) && S_ISREG(st.st_mode)) {
		l->use->files++;
		l->use->disk += (uint64_t)st.st_blocks * 512;
	}
	return 0;
}

static struct use measure(const char *dir)
{
	struct use u = { .memory = port_fault_live_bytes() };
	struct listing l = { dir, &u };
	char manifest[SCRATCH_PATH + 16];

	assert_int_equal(env_posix()->ops->list(env_posix(), dir, add_file, &l), 0);
	(void)snprintf(manifest, sizeof(manifest), "%s/manifest", dir);
	l.dir = manifest;
	assert_int_equal(env_posix()->ops->list(env_posix(), manifest, add_file, &l), 0);
	return u;
}

static void note_most(struct use *most, struct use u)
{
	most->memory = u.memory > most->memory ? u.memory : most->memory;
	most->files = u.files > most->files ? u.files : most->files;
	most->disk = u.disk > most->disk ? u.disk : most->disk;
}

/* ---- what it does ---- */

static void write_one(struct kv *kv, uint64_t *x)
{
	static uint8_t value[2000];
	uint64_t r = draw(x), key = r % KEYS;
	char k[32], end[32];
	struct kv_op op = { KV_DELETE_RANGE, key_of(key, k), { 0 } };
	size_t len = (r >> 32) % 16 ? 50 + (r >> 40) % 150 : 500 + (r >> 40) % 1500;

	if ((r >> 20) % 2000 == 0) {
		op.value = key_of(key + 50, end);
		assert_int_equal(kv_write(kv, &op, 1, KV_NONE), 0);
	} else if ((r >> 20) % 10 == 0) {
		assert_int_equal(kv_delete(kv, op.key, KV_NONE), 0);
	} else {
		memset(value, (int)(r >> 56), len);
		memcpy(value, k, op.key.len);
		assert_int_equal(kv_put(kv, op.key, kv_slice(value, len),
					(r >> 20) % 1024 == 1 ? KV_SYNC : KV_NONE),
				 0);
	}
}

/* A value says of which key it is. */
static void read_some(struct kv *kv, struct kv_snapshot *snap, uint64_t *x)
{
	struct kv_buf value = { 0 };
	struct kv_cursor *c;
	char k[32];
	unsigned int i;
	int error;

	for (i = 0; i < 200; i++) {
		struct kv_slice key = key_of(draw(x) % KEYS, k);

		error = kv_get_at(kv, i % 2 ? snap : NULL, key, &value);
		assert_true(!error || error == -ENOENT);
		if (!error)
			assert_memory_equal(value.data, k, key.len);
	}
	assert_int_equal(kv_cursor(kv, snap, &c), 0);
	error = kv_seek(c, key_of(draw(x) % KEYS, k));
	for (i = 0; i < 200 && !error; i++) {
		assert_memory_equal(c->key.data, c->value.data, c->key.len);
		error = i % 3 == 2 ? kv_prev(c) : kv_next(c);
	}
	assert_true(!error || error == -ENOENT);
	kv_cursor_close(c);
	kv_buf_free(&value);
}

static uint64_t run_part(struct kv *kv, const char *dir, uint64_t until, uint64_t *x,
			 struct use *most)
{
	struct kv_snapshot *snap;
	uint64_t writes = 0;
	unsigned int i;

	do {
		assert_int_equal(kv_snapshot(kv, &snap), 0);
		for (i = 0; i < ROUND; i++)
			write_one(kv, x);
		writes += ROUND;
		read_some(kv, snap, x);
		kv_release(kv, snap);
		note_most(most, measure(dir));
	} while (now_ms() < until);
	return writes;
}

static void expect_flat(const char *what, uint64_t first, uint64_t second)
{
	print_message("%s: at most %llu, then %llu\n", what, (unsigned long long)first,
		      (unsigned long long)second);
	if (second > first + first / 2 + 32)
		fail_msg("%s grows: at most %llu, then %llu", what,
			 (unsigned long long)first, (unsigned long long)second);
}

static void test_memory_and_files_do_not_grow(void **state)
{
	const char *torture = getenv("KV_TORTURE"), *dir = in_scratch("soak");
	uint64_t ms = torture ? strtoull(torture, NULL, 0) * 1000 : USUAL_MS;
	struct use half[2] = { { 0 } }, part;
	uint64_t x = kv_history_seed(11), begun, writes = 0;
	struct kv_msg why = { "" };
	unsigned int i;
	struct kv *kv;
	char k[32];

	(void)state;
	print_message("seed %llu\n", (unsigned long long)x);
	x = x * 0x9e3779b97f4a7c15u + 1;
	if (kv_open(&lsm_engine, env_posix(), dir, OPTIONS, &kv, &why))
		fail_msg("%s", why.text);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(kv_put(kv, key_of(i, k), key_of(i, k), KV_NONE), 0);
	for (i = 0; i < FILLING * KEYS; i++)
		write_one(kv, &x);
	begun = now_ms();
	for (i = 0; i < PARTS; i++) {
		part = (struct use){ 0 };
		writes += run_part(kv, dir, begun + ms * (i + 1) / PARTS, &x, &part);
		note_most(&half[i >= PARTS / 2], part);
		print_message(
			"%3u%%: %llu writes, memory %llu KiB, %llu files, %llu KiB\n",
			(i + 1) * 100 / PARTS, (unsigned long long)writes,
			(unsigned long long)part.memory >> 10,
			(unsigned long long)part.files,
			(unsigned long long)part.disk >> 10);
	}
	if (kv_verify(kv, &why))
		fail_msg("%s", why.text);
	assert_int_equal(kv_close(kv), 0);
	expect_flat("bytes of memory", half[0].memory, half[1].memory);
	expect_flat("files", half[0].files, half[1].files);
	expect_flat("bytes on disk", half[0].disk, half[1].disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_memory_and_files_do_not_grow),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
