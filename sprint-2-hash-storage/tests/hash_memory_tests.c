/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_memory_tests.c - what the hash engine takes of memory: the index, as hash_engine.h
 * states it, and a fixed rest; as much after a long run as at its beginning; and not more
 * because there is more data than memory.
 *
 * Pages of the log are mapped from its files. The kernel may take them back at any time, so
 * they are no memory of the engine's and are not counted here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../env.h"
#include "../hash_engine.h"

enum {
	MIB = 1 << 20,
	REST = 2 * MIB, /* beside the index: see hash_engine.h */
	NAME = 16,
};

/* ---- what is taken ---- */

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

static void take_stat(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "index_bytes"))
		*(uint64_t *)arg = value;
}

static uint64_t index_bytes(struct kv *kv)
{
	uint64_t bytes = 0;

	kv_stats(kv, take_stat, &bytes);
	return bytes;
}

/* ---- pairs ---- */

static struct kv_slice make_key(char name[NAME], unsigned int key)
{
	return kv_slice(name, (size_t)snprintf(name, NAME, "key%08u", key));
}

static struct kv_slice make_value(uint8_t *buf, size_t len, unsigned int key,
				  unsigned int version)
{
	memset(buf, (int)(key * 7 + version), len);
	port_put_le32(buf, key);
	port_put_le32(buf + 4, version);
	return kv_slice(buf, len);
}

static int put(struct kv *kv, unsigned int key, unsigned int version, uint8_t *buf,
	       size_t len)
{
	char name[NAME];

	return kv_put(kv, make_key(name, key), make_value(buf, len, key, version),
		      KV_NONE);
}

static struct kv *open_store(const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&hash_engine, env_posix(), in_scratch("store"), options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

/* ---- flat ---- */

struct range {
	uint64_t least, most;
};

static void widen(struct range *r, uint64_t bytes)
{
	if (!r->least || r->least > bytes)
		r->least = bytes;
	if (r->most < bytes)
		r->most = bytes;
}

/* Thirty times what is there is written anew: segments are cleaned, recycled and given
 * back, checkpoints written, and memory stays where it is. */
static void test_memory_is_flat_under_endless_overwriting(void **state)
{
	unsigned int keys = (unsigned int)test_draws(20000) + 200, rounds = 30, i, round;
	const char *torture = getenv("KV_TORTURE");
	struct range asked = { 0 }, resident = { 0 };
	uint8_t value[400];
	struct kv *kv = open_store("segment_bytes=256k,checkpoint_bytes=8m");

	(void)state;
	if (torture)
		rounds = 1000;
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < keys; i++)
			assert_int_equal(put(kv, (i * 7919u) % keys, round, value,
					     sizeof(value) - i % 300),
					 0);
		if (round < 5) /* until cleaning has begun and buffers have their size */
			continue;
		widen(&asked, port_fault_live_bytes());
		widen(&resident, status_bytes("RssAnon:"));
	}
	print_message("%u writes: %llu to %llu bytes asked for, %llu to %llu resident\n",
		      rounds * keys, (unsigned long long)asked.least,
		      (unsigned long long)asked.most, (unsigned long long)resident.least,
		      (unsigned long long)resident.most);
	assert_true(asked.most - asked.least <= asked.most / 20);
	/* The rest of the process is in these too; sanitizers keep freed memory. */
	if (test_scale() == 1)
		assert_true(resident.most - resident.least <= resident.most / 20);
	assert_int_equal(kv_close(kv), 0);
	scratch_remove(in_scratch("store"));
}

/* ---- stated ---- */

static void test_memory_is_the_index_and_a_fixed_rest(void **state)
{
	static const unsigned int steps[] = { 1000, 50000, 200000, 540000 };
	uint64_t before = port_fault_live_bytes(), taken, index;
	struct kv *kv = open_store("");
	unsigned int key = 0;
	uint8_t value[8];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		unsigned int keys = (unsigned int)test_draws(steps[i]);

		for (; key < keys; key++)
			assert_int_equal(put(kv, key, 1, value, sizeof(value)), 0);
		index = index_bytes(kv);
		taken = port_fault_live_bytes() - before;
		print_message("%u keys: index %llu bytes, all %llu\n", key,
			      (unsigned long long)index, (unsigned long long)taken);
		assert_true(taken <= index + REST);
	}
	assert_int_equal(kv_close(kv), 0);
	scratch_remove(in_scratch("store"));
}

/* ---- more data than memory ---- */

enum {
	ALLOWED = 16 * MIB, /* to the process, beyond what it has when it starts */
	LARGE = 4000,
	MANY = 10 * ALLOWED / LARGE,
};

/* The child's: cmocka's asserts are the parent's. */
static void demand(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "child: %s\n", what);
	_exit(1);
}

static void limit_memory(void)
{
	struct rlimit limit = { status_bytes("VmData:") + ALLOWED,
				status_bytes("VmData:") + ALLOWED };
	pthread_attr_t small;
	void *p;

	/* Stacks of tasks count; 8 MiB each is what a system gives who does not ask. */
	demand(!pthread_attr_init(&small) &&
		       !pthread_attr_setstacksize(&small, 256 << 10) &&
		       !pthread_setattr_default_np(&small),
	       "no small stacks");
	demand(!setrlimit(RLIMIT_DATA, &limit), "no limit");
	p = malloc(2 * ALLOWED);
	if (p) {
		free(p);
		_exit(77); /* an emulator that does not keep it */
	}
}

static void read_all(struct kv *kv)
{
	static uint8_t want[LARGE];
	struct kv_buf b = { 0 };
	char name[NAME];
	unsigned int i;

	for (i = 0; i < MANY; i++)
		demand(!kv_get(kv, make_key(name, i), &b) &&
			       !kv_compare(kv_slice(b.data, b.len),
					   make_value(want, LARGE, i, 1 + i % 2)),
		       "a pair is not what was written");
	kv_buf_free(&b);
}

static void live_on_little(const char *options)
{
	static uint8_t value[LARGE];
	struct kv_msg why = { "" };
	struct kv *kv;
	unsigned int i;

	limit_memory();
	demand(!kv_open(&hash_engine, env_posix(), in_scratch("store"), options, &kv,
			&why),
	       why.text);
	for (i = 0; i < MANY; i++)
		demand(!put(kv, i, 1, value, LARGE), "a put failed");
	for (i = 1; i < MANY; i += 2)
		demand(!put(kv, i, 2, value, LARGE), "an overwriting put failed");
	read_all(kv);
	demand(!kv_compact(kv), "compaction failed");
	demand(!kv_verify(kv, &why), why.text);
	demand(!kv_close(kv), "closing failed");
	demand(!unlink(in_scratch("store/INDEX")), "no checkpoint was written");
	demand(!kv_open(&hash_engine, env_posix(), in_scratch("store"), options, &kv,
			&why),
	       why.text);
	read_all(kv);
	demand(!kv_close(kv), "closing failed");
	_exit(0);
}

static void run_on_little(const char *options)
{
	int status;
	pid_t child;

	(void)fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		live_on_little(options);
	assert_int_equal(waitpid(child, &status, 0), child);
	scratch_remove(in_scratch("store"));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: no limit on memory is kept here\n");
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Ten times what may be allocated is written, read, cleaned, verified, and replayed. */
static void test_data_may_be_ten_times_the_memory(void **state)
{
	(void)state;
	if (TEST_SANITIZED || RUNNING_ON_VALGRIND) {
		print_message("skipped: the checker's own memory is beyond the limit\n");
		skip();
	}
	run_on_little("");
	run_on_little("map=off,segment_bytes=1m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_memory_is_flat_under_endless_overwriting),
		LEAK_CHECKED(test_memory_is_the_index_and_a_fixed_rest),
		LEAK_CHECKED(test_data_may_be_ten_times_the_memory),
	};

	return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
