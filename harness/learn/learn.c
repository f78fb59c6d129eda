/* SPDX-License-Identifier: MIT */
/*
 * learn.c - see learn.h. Lines for the learner begin with "| ", so that the script that
 * grades finds them among cmocka's own.
 */
#include "learn.h"

#include <time.h>

enum { LEARN_SEED = 0x5eed };

static const struct learn_test *current;
static bool finished;
static uint64_t live_before, random_state;

const char *learn_text(const char *fmt, ...)
{
	static char text[8][256];
	static unsigned int turn;
	char *at = text[turn++ % 8];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(at, sizeof(text[0]), fmt, ap);
	va_end(ap);
	return at;
}

static void say(const char *expected, const char *came)
{
	printf("| expected: %s\n| came:     %s\n", expected, came);
	fflush(stdout);
}

void learn_expect(bool ok, const char *expected, const char *came, ...)
{
	char text[256];
	va_list ap;

	if (ok)
		return;
	va_start(ap, came);
	vsnprintf(text, sizeof(text), came, ap);
	va_end(ap);
	say(expected, text);
	fail();
}

void learn_number(const char *what, uint64_t came, uint64_t expected)
{
	learn_expect(came == expected,
		     learn_text("%s is %llu", what, (unsigned long long)expected), "%llu",
		     (unsigned long long)came);
}

static const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} known[] = {
		{ 0, "0" },
		{ -ENOENT, "-ENOENT" },
		{ -EINVAL, "-EINVAL" },
		{ -ENOMEM, "-ENOMEM" },
		{ -EBADMSG, "-EBADMSG" },
		{ -EIO, "-EIO" },
		{ -ENOSPC, "-ENOSPC" },
		{ -EROFS, "-EROFS" },
		{ -EBUSY, "-EBUSY" },
		{ -EOPNOTSUPP, "-EOPNOTSUPP" },
		{ -ENOSYS, "-ENOSYS" },
		{ -EEXIST, "-EEXIST" },
		{ -EAGAIN, "-EAGAIN" },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].error == error)
			return known[i].name;
	return learn_text("%d", error);
}

void learn_error(const char *what, int came, int expected)
{
	learn_expect(came == expected,
		     learn_text("%s returns %s", what, error_name(expected)), "%s",
		     error_name(came));
}

void learn_bytes(const char *what, const void *came, const void *expected, size_t n)
{
	const uint8_t *p = came, *q = expected;
	size_t i;

	for (i = 0; i < n && p[i] == q[i]; i++)
		;
	if (i < n)
		learn_expect(false, learn_text("byte %zu of %s is 0x%02x", i, what, q[i]),
			     "0x%02x", p[i]);
}

void learn_pointer(const char *what, const void *came)
{
	learn_expect(came != NULL, learn_text("%s is a pointer, not NULL", what), "NULL");
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
uint64_t learn_random(uint64_t below)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}

static int set_up(void **state)
{
	(void)state;
	port_fault_set(0, false);
	live_before = port_fault_live();
	random_state = LEARN_SEED;
	finished = false;
	return 0;
}

static void run_current(void **state)
{
	current->run(state);
	finished = true;
}

/* A test that stopped midway could not free what it had, and is not blamed for it. */
static int tear_down(void **state)
{
	uint64_t live = port_fault_live() - live_before;

	(void)state;
	port_fault_set(0, false);
	if (!finished || !live)
		return 0;
	say("everything that was allocated has been freed",
	    learn_text("%llu allocations are still there (a leak)",
		       (unsigned long long)live));
	return -1;
}

static int run_one(const struct learn_test *t)
{
	const struct CMUnitTest one = { t->name, run_current, set_up, tear_down, NULL };
	int failed;

	current = t;
	failed = _cmocka_run_group_tests(t->name, &one, 1, NULL, NULL);
	return failed;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The least of several, which other programs on the machine disturb least. */
static void measure(const struct learn_speed *s)
{
	uint64_t least = UINT64_MAX, took, begun;
	int i;

	for (i = 0; i < 9; i++) {
		begun = now_ns();
		s->run(s->n);
		took = now_ns() - begun;
		if (took < least)
			least = took;
	}
	printf("%s\t%.3f\n", s->name, (double)least / (double)s->n);
}

int learn_main(int argc, char **argv, const struct learn_test *tests, size_t n,
	       const struct learn_speed *speeds, size_t n_speeds)
{
	int failed = 0, wanted, a;
	size_t i;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (i = 0; i < n; i++)
			printf("%s\t%u\t%s\n", tests[i].name, tests[i].points,
			       tests[i].read);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--speed")) {
		for (i = 0; i < n_speeds; i++)
			measure(&speeds[i]);
		return 0;
	}
	for (a = 1; a < argc; a++) {
		for (i = 0; i < n && strcmp(tests[i].name, argv[a]); i++)
			;
		if (i == n) {
			fprintf(stderr, "%s: no test \"%s\"; --list shows them\n",
				argv[0], argv[a]);
			return 2;
		}
	}
	for (i = 0; i < n; i++) {
		wanted = argc == 1;
		for (a = 1; a < argc; a++)
			wanted |= !strcmp(tests[i].name, argv[a]);
		if (wanted)
			failed += run_one(&tests[i]) != 0;
	}
	return failed != 0;
}
