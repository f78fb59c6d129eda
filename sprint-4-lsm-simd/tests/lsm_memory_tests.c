/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_memory_tests.c - the LSM engine's memory: within its budget with ten times as much data,
 * and nothing lost when there is none while a store is opened and closed.
 *
 * What is counted are the bytes that the engine asks port.h for; tables are read through the
 * block cache here, so that what the system maps does not help.
 */
#include "../../sprint-1-core-memory/port_fault.h"
#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_engine.h"
#include "lsm_packed.h"

#include <sys/resource.h>
#include <unistd.h>

enum {
	BYTES = 400,
	BUDGET = 4 << 20,
};

#define OPTIONS                                                           \
	"memory_bytes=4m,segment_bytes=64k,table_bytes=256k,access=read," \
	"group_ms=1,huge=off"

static struct kv *open_store(struct env *env, const char *dir, const char *options)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&lsm_engine, env, dir, options, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void check_key(struct kv *kv, unsigned int key, unsigned int version)
{
	struct kv_buf value = { 0 };
	char k[FIXTURE_KEY];
	int error = kv_get(kv, fixture_key(k, key), &value);

	if (error || fixture_version(key, BYTES, value.data, value.len) != version)
		fail_msg("key %u: error %d, wanted version %u", key, error, version);
	kv_buf_free(&value);
}

/* ---- the budget ---- */

struct peak {
	uint64_t base, most;
};

static void look(struct peak *p)
{
	uint64_t now = port_fault_live_bytes() - p->base;

	if (now > p->most)
		p->most = now;
}

static void walk(struct kv *kv, struct peak *p, unsigned int wanted)
{
	struct kv_cursor *c;
	unsigned int n = 0;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	for (; !kv_next(c); n++)
		if (n % 64 == 0)
			look(p);
	kv_cursor_close(c);
	assert_int_equal(n, wanted);
}

/* Every key written twice, read at random and in order, all compacted. */
static void run(const char *options)
{
	struct peak p = { .base = port_fault_live_bytes() };
	unsigned int keys = (unsigned int)(10 * BUDGET / BYTES / test_scale()), round, i;
	struct kv *kv;
	uint64_t seed = 3;

	scratch_remove(scratch);
	kv = open_store(env_posix(), scratch, options);
	for (round = 1; round <= 2; round++)
		for (i = 0; i < keys; i++) {
			unsigned int key = (unsigned int)((uint64_t)i * 7919 % keys);

			assert_int_equal(fixture_put(kv, key, round, BYTES, KV_NONE), 0);
			if (i % 16 == 0)
				look(&p);
		}
	for (i = 0; i < keys / 2; i++) {
		check_key(kv, (unsigned int)(fixture_random(&seed) % keys), 2);
		look(&p);
	}
	walk(kv, &p, keys);
	assert_int_equal(kv_compact(kv), 0);
	look(&p);
	for (i = 0; i < keys; i += 7) {
		check_key(kv, i, 2);
		look(&p);
	}
	print_message("%u keys, budget %u: at most %llu (%s)\n", keys, BUDGET,
		      (unsigned long long)p.most, options);
	assert_true(p.most <= BUDGET + BUDGET / 20);
	assert_int_equal(kv_close(kv), 0);
}

static void test_memory_stays_within_its_budget(void **state)
{
	(void)state;
	/* All keys differ: 7919 is no divisor of their number. */
	run(OPTIONS ",blob_bytes=0");
	run(OPTIONS ",blob_bytes=100,style=leveled");
	run("memory_bytes=4m,segment_bytes=64k,table_bytes=256k,access=read,group_ms=1," PACKED
	    ",style=tiered");
}

/* Where it can't be kept within, it is refused. */
static void test_budget_that_is_too_small_is_refused(void **state)
{
	static const char *const options[] = { "memory_bytes=1m,memtable_bytes=256k",
					       "memory_bytes=1m,threads=4,parts=2" };
	struct kv_msg why;
	struct kv *kv;
	size_t i;

	(void)state;
	scratch_remove(scratch);
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		why.text[0] = '\0';
		assert_int_equal(
			kv_open(&lsm_engine, env_posix(), scratch, options[i], &kv, &why),
			-EINVAL);
		assert_non_null(strstr(why.text, "memory_bytes must be at least"));
	}
}

/* ---- locked ---- */

static uint64_t complaints;

static void count_complaint(struct env *env, const char *text)
{
	(void)env;
	assert_non_null(strstr(text, "ulimit -l"));
	complaints++;
}

static uint64_t locked_with_limit(rlim_t limit)
{
	struct env_ops ops = *env_posix()->ops;
	struct env env = { .ops = &ops };
	struct rlimit was, now;
	struct kv *kv;
	uint64_t locked;
	unsigned int i;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &was), 0);
	now = (struct rlimit){ limit < was.rlim_max ? limit : was.rlim_max,
			       was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &now), 0);
	ops.log = count_complaint;
	complaints = 0;
	scratch_remove(scratch);
	kv = open_store(&env, scratch, "memory_bytes=32m,mlock=on,access=read");
	for (i = 0; i < 2000; i++)
		assert_int_equal(fixture_put(kv, i, 1, BYTES, KV_NONE), 0);
	assert_int_equal(kv_compact(kv), 0);
	for (i = 0; i < 2000; i++) /* into the caches */
		check_key(kv, i, 1);
	locked = fixture_stat(kv, "locked_bytes");
	assert_int_equal(kv_close(kv), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &was), 0);
	return locked;
}

/* As much as the system allows; and who gets nothing is told so, and has a store all the same. */
static void test_caches_are_locked_as_the_system_allows(void **state)
{
	const uint64_t records = 8 << 20;
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= 64 << 20) {
		assert_true(locked_with_limit(RLIM_INFINITY) >= records);
		assert_int_equal(complaints, 0);
	}
	if (geteuid()) { /* root has no limit */
		assert_int_equal(locked_with_limit(0), 0);
		assert_int_equal(complaints, 1);
	}
}

/* ---- addresses ---- */

static uint64_t address_bytes(void)
{
	char text[64] = "";
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	(void)fclose(f);
	return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* They cost no memory, but a process may have a limit of them, and an emulator few. */
static void test_a_store_takes_few_addresses(void **state)
{
	uint64_t before = address_bytes(), most = (uint64_t)8 * (64 << 20);
	struct kv *kv;

	(void)state;
	scratch_remove(scratch);
	kv = open_store(env_posix(), scratch, "memory_bytes=64m");
	assert_in_range(address_bytes() - before, 0, most);
	assert_int_equal(kv_close(kv), 0);
}

/* ---- none at all ---- */

static void test_open_and_close_without_memory(void **state)
{
	static const char *const options[] = { OPTIONS, OPTIONS ",access=map,map=off" };
	uint64_t nth, failures, live = port_fault_live();
	struct env_sim *sim, *copy;
	struct kv_msg why;
	struct kv *kv;
	size_t o;
	int error;
	unsigned int i;

	(void)state;
	for (o = 0; o < 2; o++) {
		struct env_sim_point p = { .loss = SIM_LOSE_NONE };
		struct env_sim *dead;

		sim = env_sim_new(NULL);
		kv = open_store(env_sim_env(sim), "store", options[o]);
		for (i = 0; i < 300; i++)
			assert_int_equal(fixture_put(kv, i, 1, BYTES, KV_NONE), 0);
		assert_int_equal(kv_compact(kv), 0);
		for (i = 0; i < 50; i++)
			assert_int_equal(fixture_put(kv, i, 2, BYTES, KV_NONE), 0);
		p.at = env_sim_position(sim);
		dead = env_sim_crash(sim, &p, false);
		assert_int_equal(kv_close(kv), 0);
		env_sim_free(sim);
		for (nth = 1, failures = 0;; nth++) {
			copy = env_sim_copy(dead, false);
			why.text[0] = '\0';
			kv = NULL;
			port_fault_set(nth, true);
			error = kv_open(&lsm_engine, env_sim_env(copy), "store",
					options[o], &kv, &why);
			if (!error) /* closing gets by without it as well */
				(void)kv_close(kv);
			else if (error != -ENOMEM || kv || !why.text[0])
				fail_msg("allocation %llu: open says %d \"%s\"",
					 (unsigned long long)nth, error, why.text);
			failures += error != 0;
			if (!port_fault_fired())
				break;
			port_fault_set(0, false);
			assert_int_equal(env_sim_live(copy), 0);
			assert_int_equal(port_fault_live(), live);
			kv = open_store(env_sim_env(copy), "store", options[o]);
			for (i = 0; i < 300; i += 13)
				check_key(kv, i, i < 50 ? 2 : 1);
			assert_int_equal(kv_close(kv), 0);
			env_sim_free(copy);
		}
		port_fault_set(0, false);
		env_sim_free(copy);
		print_message("%llu allocations of opening failed\n",
			      (unsigned long long)failures);
		assert_true(failures > 20);
		env_sim_free(dead);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_memory_stays_within_its_budget),
		LEAK_CHECKED(test_budget_that_is_too_small_is_refused),
		LEAK_CHECKED(test_caches_are_locked_as_the_system_allows),
		LEAK_CHECKED(test_a_store_takes_few_addresses),
		LEAK_CHECKED(test_open_and_close_without_memory),
	};

	(void)alarm(900);
	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
