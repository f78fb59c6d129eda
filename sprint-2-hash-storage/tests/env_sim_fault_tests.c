/* SPDX-License-Identifier: MIT */
/*
 * env_sim_fault_tests.c - the simulator's faults where they were asked for, its disk when
 * it is full, and stores to its maps.
 */
#include "env_sim_fixture.h"

/* ---- faults ---- */

static void test_fail_each_call_of_a_procedure_in_turn(void **state)
{
	uint64_t n;
	bool fired = true;

	(void)state;
	for (n = 1; fired; n++) {
		struct env_sim *sim = new_sim();
		struct env_sim_fault fault = { .calls = SIM_ANY, .nth = n };
		int error;

		env_sim_fault(sim, &fault);
		error = env_write_file(env_sim_env(sim), "/", "a", "x", 1);
		fired = env_sim_fault_fired(sim);
		assert_int_equal(error, fired ? -EIO : 0);
		assert_int_equal(env_sim_live(sim), 0);
		env_sim_free(sim);
	}
	/* open, write, sync, rename, sync_dir; on failures unlink, of which none fails */
	assert_int_equal(n - 1, 6);
}

static void test_fail_for_good_only_such_calls_on_such_paths(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *a = open_file(sim, "a", NEW), *b = open_file(sim, "b", NEW);
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
				       .nth = 2,
				       .for_good = true,
				       .error = -ENOSPC,
				       .path = "b" };
	int i;

	(void)state;
	env_sim_fault(sim, &fault);
	put(b, 0, 'x', 1);
	assert_false(env_sim_fault_fired(sim));
	for (i = 0; i < 3; i++) {
		put(a, 0, 'x', 1);
		assert_int_equal(file_write(b, 0, "y", 1), -ENOSPC);
		assert_int_equal(file_sync(b), 0);
	}
	assert_true(env_sim_fault_fired(sim));
	assert_int_equal(env_sim_calls(sim, 1u << SIM_WRITE), 7);
	assert_int_equal(env_sim_calls(sim, 1u << SIM_WRITE | 1u << SIM_SYNC), 10);
	env_sim_fault(sim, NULL);
	assert_int_equal(file_write(b, 0, "y", 1), 0);
	file_close(a);
	file_close(b);
	env_sim_free(sim);
}

static void test_read_and_write_short(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 100);
	struct env_sim_fault fault = { .calls = 1u << SIM_READ | 1u << SIM_WRITE,
				       .nth = 1,
				       .for_good = true,
				       .effect = SIM_SHORT };
	char bytes[100];
	size_t got;

	(void)state;
	env_sim_fault(sim, &fault);
	assert_int_equal(file_read(f, 0, bytes, 100, &got), 0);
	assert_int_equal(got, 50);
	assert_int_equal(file_read_exact(f, "a", 0, bytes, 100, NULL), -EBADMSG);
	memset(bytes, 'b', sizeof(bytes));
	assert_int_equal(file_write(f, 0, bytes, 100), -EIO);
	env_sim_fault(sim, NULL);
	assert_int_equal(byte_at(sim, "a", 49), 'b');
	assert_int_equal(byte_at(sim, "a", 50), 'a');
	file_close(f);
	env_sim_free(sim);
}

/* After a sync that fails with such an effect, what the process reads; then a sync that
 * does not fail: does it make the byte durable? */
static void check_failed_sync(enum env_sim_effect effect, int error, int reads)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 1024);
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC,
				       .nth = 1,
				       .effect = effect };

	put(f, 0, 'b', 512);
	env_sim_fault(sim, &fault);
	assert_int_equal(file_sync(f), error);
	assert_int_equal(byte_at(sim, "a", 0), reads);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a');
	env_sim_free(disk);

	put(f, 512, 'c', 512);
	assert_int_equal(file_sync(f), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), effect == SIM_LOSE ? 'b' : 'a');
	assert_int_equal(byte_at(disk, "a", 512), 'c');
	env_sim_free(disk);
	/* It may have come out, all the same. */
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'b');
	assert_int_equal(byte_at(disk, "a", 512), 'c');
	env_sim_free(disk);

	put(f, 0, 'd', 100); /* written anew, it can be synced again */
	assert_int_equal(file_sync(f), 0);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 99), 'd');
	env_sim_free(disk);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 10), 1);
	file_close(f);
	env_sim_free(sim);
}

static void test_forget_what_a_failed_sync_should_have_written(void **state)
{
	(void)state;
	check_failed_sync(SIM_FAIL, -EIO, 'b');
	check_failed_sync(SIM_DROP, -EIO, 'a');
	check_failed_sync(SIM_LOSE, 0, 'b');
}

/* Of three sectors whose sync failed the middle one is written anew and synced. */
static void test_keep_doubt_only_where_nothing_newer_lies(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 1536);
	struct env_sim_fault fault = { .calls = 1u << SIM_SYNC, .nth = 1 };
	unsigned int i;

	(void)state;
	put(f, 0, 'b', 1536);
	env_sim_fault(sim, &fault);
	assert_int_equal(file_sync(f), -EIO);
	put(f, 512, 'c', 512);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 4);
	for (i = 0; i < 4; i++) {
		struct env_sim *disk = crash(sim, SIM_SUBSET, i);

		assert_int_equal(byte_at(disk, "a", 0), i & 1 ? 'b' : 'a');
		assert_int_equal(byte_at(disk, "a", 512), 'c');
		assert_int_equal(byte_at(disk, "a", 1024), i & 2 ? 'b' : 'a');
		env_sim_free(disk);
	}
	assert_int_equal(f->ops->truncate(f, 600), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_subsets(sim, env_sim_position(sim), 100), 2);
	file_close(f);
	env_sim_free(sim);
}

static void test_lose_and_misdirect_a_write_without_a_word(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = durable_file(sim, "a", 8192);
	struct env_sim_fault fault = { .calls = 1u << SIM_WRITE,
				       .nth = 1,
				       .effect = SIM_LOSE };

	(void)state;
	env_sim_fault(sim, &fault);
	put(f, 0, 'b', 512);
	assert_int_equal(byte_at(sim, "a", 0), 'a');
	fault.effect = SIM_MISDIRECT;
	env_sim_fault(sim, &fault);
	put(f, 0, 'b', 512);
	assert_int_equal(byte_at(sim, "a", 0), 'a');
	assert_int_equal(byte_at(sim, "a", 4096), 'b');
	assert_int_equal(byte_at(sim, "a", 4096 + 511), 'b');
	file_close(f);
	env_sim_free(sim);
}

static void test_flip_bits_at_rest(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = durable_file(sim, "a", 600);

	(void)state;
	put(f, 599, 'c', 1);
	assert_int_equal(env_sim_flip(sim, "a", 0, 0x01), 0);
	assert_int_equal(env_sim_flip(sim, "a", 599, 0x02), 0);
	assert_int_equal(env_sim_flip(sim, "a", 600, 0x01), -EINVAL);
	assert_int_equal(env_sim_flip(sim, "b", 0, 0x01), -ENOENT);
	assert_int_equal(byte_at(sim, "a", 0), 'a' ^ 1);
	assert_int_equal(byte_at(sim, "a", 599), 'c' ^ 2);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 0), 'a' ^ 1);
	assert_int_equal(byte_at(disk, "a", 599), 'a' ^ 2);
	env_sim_free(disk);
	disk = crash(sim, SIM_LOSE_NONE, 0);
	assert_int_equal(byte_at(disk, "a", 599), 'c' ^ 2);
	env_sim_free(disk);
	file_close(f);
	env_sim_free(sim);
}

static void test_fill_the_disk_and_free_it(void **state)
{
	struct env_sim *sim =
		env_sim_new(&(struct env_sim_config){ .capacity_bytes = 16384 });
	struct env *env = env_sim_env(sim);
	struct file *f = open_file(sim, "a", NEW), *g = open_file(sim, "b", NEW);
	uint64_t bytes;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, 12288), 0);
	assert_int_equal(byte_at(sim, "a", 12287), 0);
	assert_int_equal(g->ops->allocate(g, 0, 8192), -ENOSPC);
	put(f, 0, 'x', 8192); /* into blocks that it has */
	put(g, 0, 'x', 4096);
	assert_int_equal(file_write(g, 4096, "x", 1), -ENOSPC);
	assert_int_equal(size_of(sim, "b"), 4096);
	assert_int_equal(env->ops->free_space(env, "/", &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(f->ops->truncate(f, 4096), 0);
	assert_int_equal(env->ops->free_space(env, "/", &bytes), 0);
	assert_int_equal(bytes, 8192);
	put(g, 4096, 'x', 1);
	env_sim_set_capacity(sim, 0);
	assert_int_equal(file_write(f, 4096, "x", 1), -ENOSPC);
	put(f, 0, 'y', 4096);
	env_sim_set_capacity(sim, 16384);
	put(f, 4096, 'x', 1);
	file_close(f);
	file_close(g);
	env_sim_free(sim);
}

/* ---- maps ---- */

static void *map_file(struct file *f, uint64_t offset, size_t len)
{
	void *p = NULL;

	assert_int_equal(f->ops->map(f, offset, len, true, &p), 0);
	return p;
}

static void test_take_stores_to_a_map_for_writes(void **state)
{
	struct env_sim *sim = new_sim(), *disk;
	struct file *f = open_file(sim, "a", NEW);
	size_t at, got, len = 128 << 10;
	char *p, c;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, len), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	p = map_file(f, 0, len);
	at = env_sim_position(sim);
	assert_int_equal(env_sim_position(sim), at);

	p[600] = 'x'; /* sector 1 */
	p[100000] = 'y';
	assert_int_equal(file_read(f, 600, &c, 1, &got), 0);
	assert_int_equal(c, 'x');
	assert_int_equal(env_sim_position(sim), at + 2); /* two runs */
	assert_int_equal(env_sim_subsets(sim, at + 2, 100), 4);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 600), 0);
	env_sim_free(disk);
	assert_int_equal(file_sync(f), 0);
	p[601] = 'z';
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 600), 'x');
	assert_int_equal(byte_at(disk, "a", 601), 0);
	assert_int_equal(byte_at(disk, "a", 100000), 'y');
	assert_int_equal(size_of(disk, "a"), len);
	env_sim_free(disk);

	put(f, 602, 'w', 1); /* a write shows in the map, and undoes no store */
	assert_int_equal(p[602], 'w');
	assert_int_equal(p[601], 'z');
	p[603] = 'v';
	f->ops->unmap(f, p, len);
	assert_int_equal(byte_at(sim, "a", 601), 'z');
	assert_int_equal(byte_at(sim, "a", 603), 'v');
	assert_int_equal(file_sync(f), 0);
	file_close(f);
	disk = crash(sim, SIM_LOSE_ALL, 0);
	assert_int_equal(byte_at(disk, "a", 603), 'v');
	env_sim_free(disk);
	env_sim_free(sim);
}

/* A record in one sector, stored and not synced: a crash may leave a part of it. */
static void test_tear_a_store_within_its_sector(void **state)
{
	struct env_sim *sim = new_sim();
	struct file *f = open_file(sim, "a", NEW);
	unsigned int i, whole = 0, none = 0, head = 0, tail = 0;
	char *p;

	(void)state;
	assert_int_equal(f->ops->allocate(f, 0, 65536), 0);
	assert_int_equal(file_sync(f), 0);
	assert_int_equal(env_sim_env(sim)->ops->sync_dir(env_sim_env(sim), "/"), 0);
	p = map_file(f, 0, 65536);
	memset(p, 'x', 512);
	for (i = 0; i < 200; i++) {
		struct env_sim *disk =
			crash(sim, i % 2 ? SIM_RANDOM : SIM_TORN, i % 2 ? i : i / 2 % 16);
		int first = byte_at(disk, "a", 0), last = byte_at(disk, "a", 511);

		whole += first == 'x' && last == 'x';
		none += !first && !last;
		head += first == 'x' && !last;
		tail += !first && last == 'x';
		env_sim_free(disk);
	}
	assert_true(whole && none && head && tail);
	assert_int_equal(whole + none + head + tail, 200);
	f->ops->unmap(f, p, 65536);
	file_close(f);
	env_sim_free(sim);
}

static void test_share_memory_between_maps_of_the_same_bytes(void **state)
{
	struct env_sim *sim = new_sim(), *nomap;
	struct file *f = open_file(sim, "a", NEW), *g = open_file(sim, "a", ENV_READ);
	void *bad;
	char *p, *q;

	(void)state;
	assert_int_equal(f->ops->truncate(f, 256 << 10), 0);
	assert_int_equal(f->ops->map(f, 1, 10, true, &bad), -EINVAL);
	assert_int_equal(f->ops->map(f, 0, (256 << 10) + 1, true, &bad), -EINVAL);
	assert_int_equal(g->ops->map(g, 0, 10, true, &bad), -EACCES);
	p = map_file(f, 0, 256 << 10);
	assert_int_equal(g->ops->map(g, 65536, 65536, false, (void **)&q), 0);
	p[65536] = 'x';
	assert_int_equal(*q, 'x');
	f->ops->unmap(f, p, 256 << 10);
	assert_int_equal(*q, 'x');
	assert_int_equal(env_sim_env(sim)->ops->unlink(env_sim_env(sim), "a"), 0);
	g->ops->unmap(g, q, 65536);
	file_close(f);
	file_close(g);
	env_sim_free(sim);

	nomap = env_sim_new(
		&(struct env_sim_config){ .no_map = true, .no_allocate = true });
	f = durable_file(nomap, "a", 4096);
	assert_int_equal(f->ops->map(f, 0, 4096, true, &bad), -EOPNOTSUPP);
	assert_int_equal(f->ops->allocate(f, 0, 4096), -EOPNOTSUPP);
	file_close(f);
	env_sim_free(nomap);
}

/* ---- all together ---- */

enum { SHADOW_BYTES = 128 << 10 };

static uint64_t next_random(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng >> 11;
}

struct shadow { /* what the file must be */
	uint8_t now[SHADOW_BYTES], synced[SHADOW_BYTES];
	uint64_t size, synced_size;
};

static void compare_file(struct env_sim *sim, const uint8_t *want, uint64_t size)
{
	uint8_t *have = malloc(SHADOW_BYTES);
	struct file *f = open_file(sim, "a", ENV_READ);
	size_t got;

	assert_non_null(have);
	assert_int_equal(file_read(f, 0, have, SHADOW_BYTES, &got), 0);
	assert_int_equal(got, size);
	assert_memory_equal(have, want, size);
	file_close(f);
	free(have);
}

/* Each byte that comes out is the synced one, the last one, or one between; here letters
 * grow, and what a truncation uncovered is zero. */
static void compare_between(struct env_sim *disk, const struct shadow *s, uint8_t letter)
{
	uint8_t *have = malloc(SHADOW_BYTES);
	struct file *f = open_file(disk, "a", ENV_READ);
	size_t got, i;

	assert_non_null(have);
	assert_int_equal(file_read(f, 0, have, SHADOW_BYTES, &got), 0);
	for (i = 0; i < got; i++) {
		assert_true(have[i] <= letter);
		assert_true(!have[i] || i >= s->synced_size || have[i] >= s->synced[i]);
	}
	file_close(f);
	free(have);
}

/* A write, a store or a change of size, by chance; to the shadow as well. */
static void change_file(struct file *f, uint8_t *map, struct shadow *s, uint64_t *rng,
			uint8_t letter)
{
	uint64_t at = next_random(rng) % SHADOW_BYTES, n = 1 + next_random(rng) % 3000;
	unsigned int kind = next_random(rng) % 8;

	n = n < SHADOW_BYTES - at ? n : SHADOW_BYTES - at;
	if (kind == 0) {
		assert_int_equal(f->ops->truncate(f, at), 0);
		if (at < s->size)
			memset(s->now + at, 0, s->size - at);
		s->size = at;
		return;
	}
	if (kind == 1) {
		assert_int_equal(f->ops->allocate(f, at, n), 0);
	} else if (kind < 5 || at + n > s->size) {
		memset(s->now + at, letter, n);
		assert_int_equal(file_write(f, at, s->now + at, n), 0);
	} else {
		memset(s->now + at, letter, n);
		memset(map + at, letter, n);
	}
	s->size = at + n > s->size ? at + n : s->size;
}

static void check_by_chance(uint64_t seed)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = seed });
	struct shadow *s = calloc(1, sizeof(*s));
	struct file *f = durable_file(sim, "a", 1);
	struct env_sim *disk;
	uint64_t rng = seed;
	uint8_t *map, letter;

	assert_non_null(s);
	/* Mapped whole at first; it may shrink and grow below the map. */
	assert_int_equal(f->ops->truncate(f, SHADOW_BYTES), 0);
	map = map_file(f, 0, SHADOW_BYTES);
	assert_int_equal(f->ops->truncate(f, 1), 0);
	assert_int_equal(file_sync(f), 0);
	s->now[0] = s->synced[0] = 'a';
	s->size = s->synced_size = 1;
	for (letter = 'b'; letter < 'b' + 40; letter++) {
		change_file(f, map, s, &rng, letter);
		if (next_random(&rng) % 4 == 0) {
			assert_int_equal(file_sync(f), 0);
			memcpy(s->synced, s->now, sizeof(s->now));
			s->synced_size = s->size;
		}
		compare_file(sim, s->now, s->size);
		disk = crash(sim, SIM_LOSE_NONE, 0);
		compare_file(disk, s->now, s->size);
		env_sim_free(disk);
		disk = crash(sim, SIM_LOSE_ALL, 0);
		compare_file(disk, s->synced, s->synced_size);
		env_sim_free(disk);
		disk = crash(sim, SIM_RANDOM, next_random(&rng));
		compare_between(disk, s, letter);
		env_sim_free(disk);
	}
	f->ops->unmap(f, map, SHADOW_BYTES);
	file_close(f);
	free(s);
	env_sim_free(sim);
}

static void test_hold_what_was_synced_and_nothing_made_up(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 8; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		check_by_chance(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_fail_each_call_of_a_procedure_in_turn),
		LEAK_CHECKED(test_fail_for_good_only_such_calls_on_such_paths),
		LEAK_CHECKED(test_read_and_write_short),
		LEAK_CHECKED(test_forget_what_a_failed_sync_should_have_written),
		LEAK_CHECKED(test_keep_doubt_only_where_nothing_newer_lies),
		LEAK_CHECKED(test_lose_and_misdirect_a_write_without_a_word),
		LEAK_CHECKED(test_flip_bits_at_rest),
		LEAK_CHECKED(test_fill_the_disk_and_free_it),
		LEAK_CHECKED(test_take_stores_to_a_map_for_writes),
		LEAK_CHECKED(test_tear_a_store_within_its_sector),
		LEAK_CHECKED(test_share_memory_between_maps_of_the_same_bytes),
		LEAK_CHECKED(test_hold_what_was_synced_and_nothing_made_up),
	};

	return cmocka_run_group_tests_name("env_sim_fault", tests, NULL, NULL);
}
