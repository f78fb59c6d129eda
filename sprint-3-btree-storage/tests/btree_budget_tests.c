/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_budget_tests.c - what the B+tree engine takes of memory, with ten times as much data.
 *
 * memory_bytes bounds the pages that are in memory; it is held to within 5%, whenever one
 * looks, through loading, overwriting, reading and scanning, by the engine's own count and by
 * the system's. Beside it stand PER_PAGE bytes for each page of the file, and REST, which is
 * fixed: the log's buffers, the writer's scratch pages. Pages of the log's files that are
 * mapped may be taken back by the kernel at any time, and are not counted.
 *
 * KV_TORTURE=seconds goes on that long.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "btree_store_fixture.h"

#include <time.h>

enum {
	BUDGET = 4 << 20,
	BYTES = 400,
	DATA = 10 * BUDGET,
	LOOK_EACH = 500, /* writes */
	PER_PAGE = 48,   /* state, CRC, what free space needs */
	REST = 3 << 20,
};

#define OPTIONS "memory_bytes=4m,segment_bytes=1m,checkpoint_bytes=8m,huge=off"

/* A line of /proc/self/status in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	if (f)
		(void)fclose(f);
	return kib << 10;
}

struct watch {
	struct kv *kv;
	uint64_t before;       /* resident, without the store */
	uint64_t pages, taken; /* most: of the budget; of the system */
	uint64_t asked,
		asked_most; /* of the allocator: early on, and at any time after */
	unsigned int writes;
	bool looks; /* at what the system says */
};

static void look(struct watch *w)
{
	uint64_t pages = store_stat(w->kv, "resident_bytes"),
		 beside = store_stat(w->kv, "file_bytes") / 4096 * PER_PAGE + REST,
		 taken = status_bytes("RssAnon:") - w->before;

	if (pages > w->pages)
		w->pages = pages;
	if (pages > BUDGET + BUDGET / 20)
		fail_msg("%llu bytes of pages are in memory, of %d",
			 (unsigned long long)pages, BUDGET);
	if (!w->looks)
		return;
	if (taken > w->taken)
		w->taken = taken;
	if (taken > BUDGET + BUDGET / 20 + beside)
		fail_msg("%llu bytes are taken, of %d and %llu beside it",
			 (unsigned long long)taken, BUDGET, (unsigned long long)beside);
}

static void put(struct watch *w, unsigned int key)
{
	store_put(w->kv, key, BYTES);
	if (++w->writes % LOOK_EACH == 0)
		look(w);
}

static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void get(struct watch *w, unsigned int key)
{
	static char want[STORE_VALUE];
	struct kv_buf value = { 0 };
	char name[STORE_KEY];

	assert_int_equal(kv_get(w->kv, store_key(name, key), &value), 0);
	assert_int_equal(kv_compare(kv_slice(value.data, value.len),
				    store_value(want, key, BYTES)),
			 0);
	kv_buf_free(&value);
}

/* Overwrites, gets, and short scans at random places. */
static void work(struct watch *w, unsigned int keys, unsigned int steps, uint64_t *rng)
{
	struct kv_cursor *c;
	char name[STORE_KEY];
	unsigned int i, k;

	for (i = 0; i < steps; i++) {
		put(w, (unsigned int)(draw(rng) % keys));
		get(w, (unsigned int)(draw(rng) % keys));
		if (i % 64)
			continue;
		assert_int_equal(kv_cursor(w->kv, NULL, &c), 0);
		assert_int_equal(
			kv_seek(c, store_key(name, (unsigned int)(draw(rng) % keys))), 0);
		for (k = 0; k < 200 && !kv_next(c); k++)
			;
		kv_cursor_close(c);
		look(w);
	}
}

static void test_memory_stays_within_its_budget_with_ten_times_the_data(void **state)
{
	unsigned int keys = DATA / (BYTES * 3 / 4),
		     i; /* lengths are half to all of BYTES */
	const char *torture = getenv("KV_TORTURE");
	time_t end = time(NULL) + (torture ? strtol(torture, NULL, 10) : 0);
	struct watch w = { .looks = test_scale() == 1 };
	uint64_t rng = 5, asked;
	const char *dir = in_scratch("store");

	(void)state;
	w.before = status_bytes("RssAnon:");
	w.kv = store_open(dir, OPTIONS);
	for (i = 0; i < keys; i++)
		put(&w, (unsigned int)(i * 7919ull % keys));
	/* The file has its size once everything was overwritten. */
	work(&w, keys, (unsigned int)test_draws(keys / 2), &rng);
	asked = port_fault_live_bytes();
	do
		work(&w, keys, (unsigned int)test_draws(keys / 2), &rng);
	while (time(NULL) < end);
	print_message(
		"%u writes to %u pairs, seed 5: pages %llu bytes at most of %d, all "
		"%llu; asked for %llu, and later %llu\n",
		w.writes, keys, (unsigned long long)w.pages, BUDGET,
		(unsigned long long)w.taken, (unsigned long long)asked,
		(unsigned long long)port_fault_live_bytes());
	assert_true(port_fault_live_bytes() <= asked + asked / 20);
	store_expect(w.kv, keys, 1, BYTES);
	look(&w);
	store_verify(w.kv);
	look(&w);
	assert_true(store_stat(w.kv, "page_evictions") > keys / 100);
	store_close(w.kv);

	w.kv = store_open(dir, OPTIONS);
	store_expect(w.kv, keys, 1, BYTES);
	look(&w);
	store_close(w.kv);
	scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_memory_stays_within_its_budget_with_ten_times_the_data),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
