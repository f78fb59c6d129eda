/* SPDX-License-Identifier: MIT */
/*
 * crossing.c - what it costs to have an engine on the other side of the kernel's boundary:
 *
 *	crossing hash [records]
 *
 * The same keys and calls of kv.h, in one thread, on the engine in this process and on its
 * device by each of the three ways in, in turn and several times over; medians of the rounds.
 */
#include "engines.h"
#include "measure/clock.h"

#include "../sprint-2-hash-storage/env.h"

#include <unistd.h>

enum {
	KEY = 24,
	VALUE = 100,
	TOGETHER = 64,
	PAIRS = 64,
	ROUNDS = 5,
	GETS = 20000,
	SCANS = 200
};

struct side {
	const struct engine_info *engine;
	struct kv *kv;
	double get[ROUNDS], together[ROUNDS], pair[ROUNDS]; /* ns each */
};

static uint64_t records;

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static struct kv_slice key_of(char *out, uint64_t i)
{
	return kv_slice(out,
			(size_t)snprintf(out, KEY, "user%016llu", (unsigned long long)i));
}

static int load(struct kv *kv)
{
	char key[KEY], value[VALUE];
	uint64_t i;
	int error = 0;

	memset(value, 'v', sizeof(value));
	for (i = 0; i < records && !error; i++)
		error = kv_put(kv, key_of(key, i), kv_slice(value, VALUE), KV_NONE);
	return error;
}

static int time_gets(struct side *s, unsigned int round)
{
	uint64_t state = round, begun;
	struct kv_buf value = { 0 };
	char key[KEY];
	int error = 0, i;

	begun = clock_now_ns();
	for (i = 0; i < GETS && !error; i++)
		error = kv_get(s->kv, key_of(key, draw(&state) % records), &value);
	s->get[round] = (double)(clock_now_ns() - begun) / GETS;
	kv_buf_free(&value);
	return error;
}

static int time_together(struct side *s, unsigned int round)
{
	static char text[TOGETHER][KEY];
	struct kv_buf value[TOGETHER] = { 0 };
	struct kv_slice key[TOGETHER];
	int errors[TOGETHER], error = 0, i, k;
	uint64_t state = round, begun = clock_now_ns();

	for (i = 0; i < GETS / TOGETHER && !error; i++) {
		for (k = 0; k < TOGETHER; k++)
			key[k] = key_of(text[k], draw(&state) % records);
		error = kv_multi_get(s->kv, NULL, TOGETHER, key, value, errors);
		for (k = 0; k < TOGETHER && !error; k++)
			error = errors[k];
	}
	s->together[round] =
		(double)(clock_now_ns() - begun) / (GETS / TOGETHER * TOGETHER);
	for (k = 0; k < TOGETHER; k++)
		kv_buf_free(&value[k]);
	return error;
}

static int time_scans(struct side *s, unsigned int round)
{
	uint64_t state = round, begun = clock_now_ns(), pairs = 0;
	struct kv_cursor *c;
	char key[KEY];
	int error = 0, i, k;

	if (!(s->kv->ops->caps & KV_CAP_ORDERED))
		return 0;
	for (i = 0; i < SCANS && !error; i++) {
		error = kv_cursor(s->kv, NULL, &c);
		if (error)
			break;
		error = kv_seek(c, key_of(key, draw(&state) % (records - PAIRS)));
		for (k = 1; k < PAIRS && !error; k++, pairs++)
			error = kv_next(c);
		kv_cursor_close(c);
	}
	s->pair[round] = (double)(clock_now_ns() - begun) / (double)(pairs + SCANS);
	return error;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *x)
{
	qsort(x, ROUNDS, sizeof(*x), compare);
	return x[ROUNDS / 2];
}

static int fail(const char *engine, const char *what, int error)
{
	(void)fprintf(stderr, "crossing: %s: %s: %s\n", engine, what, strerror(-error));
	return 1;
}

static int side_open(struct side *s, const char *name)
{
	char dir[96];
	struct kv_msg why = { "" };
	int error;

	s->engine = engines_find(name);
	if (!s->engine)
		return fail(name, "there is no such engine", -EINVAL);
	if (!s->engine->ops) {
		engines_absence(s->engine, why.text, sizeof(why.text));
		return fail(name, why.text, -ENODEV);
	}
	(void)snprintf(dir, sizeof(dir), "%s/crossing-%s-%d",
		       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", name, (int)getpid());
	error = kv_open(s->engine->ops, env_posix(), dir, NULL, &s->kv, &why);
	if (!error && s->engine->kind != ENGINE_NULL)
		error = load(s->kv);
	return error ? fail(name, why.text[0] ? why.text : "load", error) : 0;
}

static int run(struct side *s)
{
	unsigned int round;
	int error = 0;

	for (round = 0; round < ROUNDS && !error; round++) {
		error = time_gets(s, round);
		if (!error)
			error = time_together(s, round);
		if (!error)
			error = time_scans(s, round);
	}
	return error ? fail(s->engine->name, "run", error) : 0;
}

static void show(struct side *s, const double *base)
{
	double get = median(s->get), together = median(s->together),
	       pair = median(s->pair);

	printf("%-20s %8.0f ns %5.2fx %8.0f ns %5.2fx %8.0f ns %5.2fx\n", s->engine->name,
	       get, get / base[0], together, together / base[1], pair,
	       base[2] > 0 ? pair / base[2] : 0);
}

int main(int argc, char **argv)
{
	static const char *const suffix[] = { "", "@kernel", "@kernel+batch",
					      "@kernel+ring" };
	enum { SIDES = 5 };
	static struct side side[SIDES];
	double base[3];
	char name[64];
	int i;

	if (argc < 2 || argc > 3 || !strcmp(argv[1], "--help")) {
		(void)fprintf(
			argc == 2 ? stdout : stderr,
			"usage: crossing ENGINE [RECORDS]\n"
			"A get, a get of 64 together and a pair of a scan of 64, on ENGINE in this\n"
			"process and in the kernel (load its module first).\n");
		return argc == 2 ? 0 : 2;
	}
	records = argc == 3 ? strtoull(argv[2], NULL, 10) : 20000;
	if (records <= PAIRS)
		return fail(argv[1], "at least 65 records", -EINVAL);
	for (i = 0; i < SIDES; i++) {
		(void)snprintf(name, sizeof(name), "%s%s",
			       i < 4 ? argv[1] : "null@kernel", i < 4 ? suffix[i] : "");
		/* A device has one store, so they come one after the other. */
		if (side_open(&side[i], name) || run(&side[i]) || kv_close(side[i].kv))
			return 1;
	}
	base[0] = median(side[0].get);
	base[1] = median(side[0].together);
	base[2] = median(side[0].pair);
	printf("%-20s %11s %6s %11s %6s %11s %6s\n", "engine", "get", "", "get of 64", "",
	       "scanned pair", "");
	for (i = 0; i < SIDES; i++)
		show(&side[i], base);
	return 0;
}
