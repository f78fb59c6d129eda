/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_versions_fault_tests.c - a history of commits on a simulated disk that crashes anywhere,
 * whose calls and allocations fail, whose manifest is damaged: no commit that was acknowledged
 * is lost.
 */
#include "lsm_versions_fixture.h"

enum { STEPS = 14 };

struct history {
	uint64_t files[STEPS + 1];  /* after so many commits */
	size_t acked[STEPS + 1];    /* the position from which a crash must keep it */
	unsigned int done, created; /* commits that were acknowledged */
	uint64_t attempted;         /* of a commit that failed: what it led to */
	bool latched;
};

/* Each third commit takes all but the last table away. Ends with the first that fails. */
static int run_history(struct fixture *f, struct history *h)
{
	uint64_t files, last = 0, remove, tables;
	unsigned int i;
	int error = try_create(f);

	if (error) {
		f->vs = NULL;
		return error;
	}
	h->acked[0] = env_sim_position(f->sim);
	h->created = 1;
	for (i = 0; !error && i < STEPS; i++) {
		tables = h->files[i];
		remove = 0;
		if (i % 3 == 2)
			remove = last;
		error = commit(f, false, remove, &files);
		h->attempted = (tables & ~remove) | files;
		if (error)
			break;
		last = files;
		h->files[i + 1] = h->attempted;
		h->acked[i + 1] = env_sim_position(f->sim);
		h->done = i + 1;
		(void)lsm_versions_purge(f->vs);
		if (i == 6) {
			error = close_store(f);
			if (!error)
				error = try_open(f);
			if (error)
				f->vs = NULL;
		}
	}
	h->latched = f->vs && lsm_versions_latched(f->vs);
	return error;
}

/* What is there is one of the states from the last acknowledged on. */
static bool is_allowed(const struct history *h, uint64_t files, unsigned int least)
{
	unsigned int i;

	for (i = least; i <= h->done; i++)
		if (files == h->files[i])
			return true;
	return files == h->attempted;
}

static int check_disk(void *arg, struct env_sim *disk, size_t at)
{
	struct history *h = arg;
	unsigned int i, least = 0;
	uint64_t files, more;
	struct fixture f;
	int error;

	if (!h->created || at < h->acked[0])
		return 0; /* it was never said to be there */
	for (i = 0; i <= h->done; i++)
		if (h->acked[i] <= at)
			least = i;
	use_disk(&f, disk);
	error = try_open(&f);
	if (error) {
		print_error("at %zu: %d: %s\n", at, error, f.why.text);
		f.vs = NULL;
		leave(&f);
		return error;
	}
	files = current_files(&f);
	error = is_allowed(h, files, least) ? 0 : -EBADMSG;
	if (!error)
		error = commit(&f, false, 0, &more);
	if (!error)
		error = close_store(&f);
	if (!error)
		error = try_open(&f);
	if (!error && current_files(&f) != (files | more))
		error = -EBADMSG;
	leave(&f);
	return error;
}

static void test_crash_anywhere_keeps_what_was_acknowledged(void **state)
{
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 16,
				     .check = check_disk };
	struct history h = { 0 };
	struct fixture f;

	(void)state;
	if (getenv("KV_TORTURE"))
		e.samples = e.exhaustive = 512;
	begin_on(&f, env_sim_new(NULL));
	assert_int_equal(run_history(&f, &h), 0);
	assert_int_equal(h.done, STEPS);
	assert_int_equal(close_store(&f), 0);
	leave(&f);
	e.arg = &h;
	if (env_sim_explore(f.sim, &e))
		fail_msg("%s", e.failed);
	print_message("%llu disks\n", (unsigned long long)e.states);
	env_sim_free(f.sim);
}

struct fault_kind {
	unsigned int calls;
	int error;
	enum env_sim_effect effect;
};

static const struct fault_kind kinds[] = {
	{ 1u << SIM_READ, -EIO, SIM_FAIL },
	{ 1u << SIM_WRITE, -EIO, SIM_FAIL },
	{ 1u << SIM_WRITE, -ENOSPC, SIM_SHORT },
	{ 1u << SIM_SYNC, -EIO, SIM_FAIL },
	{ 1u << SIM_SYNC, -EIO, SIM_DROP },
	{ 1u << SIM_SYNC_DIR, -EIO, SIM_FAIL },
	{ 1u << SIM_OPEN, -EMFILE, SIM_FAIL },
	{ 1u << SIM_ALLOCATE, -ENOSPC, SIM_FAIL },
	{ 1u << SIM_MAP, -ENOMEM, SIM_FAIL },
	{ 1u << SIM_UNLINK, -EIO, SIM_FAIL },
	{ 1u << SIM_RENAME, -EIO, SIM_FAIL },
	{ 1u << SIM_LIST, -EMFILE, SIM_FAIL },
	{ 1u << SIM_SPAWN, -EAGAIN, SIM_FAIL },
	{ 1u << SIM_SIZE, -EIO, SIM_FAIL },
	{ 1u << SIM_MKDIR, -ENOSPC, SIM_FAIL },
};

/* The history with the nth call failing; false: it never came. */
static bool run_with_fault(const struct fault_kind *kind, uint64_t nth, uint64_t memory)
{
	struct env_sim_fault fault = { .calls = kind->calls,
				       .nth = nth,
				       .error = kind->error,
				       .effect = kind->effect };
	struct history h = { 0 };
	struct fixture f;
	bool fired;
	int error;

	begin_on(&f, env_sim_new(&(struct env_sim_config){ .no_journal = kind->effect !=
									 SIM_DROP }));
	if (memory)
		port_fault_set(memory, true);
	else
		env_sim_fault(f.sim, &fault);
	(void)run_history(&f, &h);
	if (f.vs)
		(void)close_store(&f);
	f.vs = NULL;
	fired = memory ? port_fault_fired() : env_sim_fault_fired(f.sim);
	port_fault_set(0, false);
	env_sim_fault(f.sim, NULL);
	if (h.created) {
		error = try_open(&f);
		if (error)
			fail_msg("calls %x, %llu: %d: %s", kind->calls,
				 (unsigned long long)(nth + memory), error, f.why.text);
		if (!is_allowed(&h, current_files(&f), h.done))
			fail_msg("calls %x, %llu: a commit was lost", kind->calls,
				 (unsigned long long)(nth + memory));
	}
	end(&f);
	return fired;
}

static void test_any_call_that_fails_loses_nothing(void **state)
{
	uint64_t nth, step = getenv("KV_TORTURE") ? 1 : 3;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (nth = 1; run_with_fault(&kinds[i], nth, 0); nth += step)
			;
}

static void test_any_allocation_that_fails_loses_nothing(void **state)
{
	uint64_t nth, step = getenv("KV_TORTURE") ? 1 : 5;

	(void)state;
	for (nth = 1; run_with_fault(&kinds[0], 1ull << 40, nth); nth += step)
		;
}

/* ---- damage ---- */

static void test_any_flipped_byte_of_the_manifest_is_seen(void **state)
{
	uint64_t first, second, offset;
	unsigned int refused = 0, same = 0;
	struct fixture f, g;
	int error;

	(void)state;
	begin(&f);
	assert_int_equal(commit(&f, false, 0, &first), 0);
	assert_int_equal(commit(&f, false, 0, &second), 0);
	assert_int_equal(close_store(&f), 0);
	for (offset = 0;; offset += getenv("KV_TORTURE") ? 1 : 7) {
		use_disk(&g, env_sim_copy(f.sim, false));
		if (env_sim_flip(g.sim, DIR "/manifest/000000000000.log", offset, 0x10)) {
			end(&g); /* beyond the end */
			break;
		}
		error = try_open(&g);
		if (error) {
			assert_true(error == -EBADMSG || error == -EPROTONOSUPPORT);
			g.vs = NULL;
			refused++;
		} else {
			assert_int_equal(current_files(&g), first | second);
			same++;
		}
		end(&g);
	}
	assert_true(refused > 100);
	assert_true(same > 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_crash_anywhere_keeps_what_was_acknowledged),
		LEAK_CHECKED(test_any_call_that_fails_loses_nothing),
		LEAK_CHECKED(test_any_allocation_that_fails_loses_nothing),
		LEAK_CHECKED(test_any_flipped_byte_of_the_manifest_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
