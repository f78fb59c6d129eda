/* SPDX-License-Identifier: MIT */
/*
 * crossing.c - what it costs to have an engine on the other side of the kernel's boundary:
 *
 *	crossing btree:memory_bytes=64m hash lsm array
 *
 * The same keys and calls of kv.h, in one thread, on the engine in this process and on its device by
 * each of the three ways in. Both stores are open at once and take turns, round by round: a
 * machine that is slower for a while is so for both. Medians of the rounds and of their ratios. Nothing is
 * computed between the calls that are timed: the keys stand ready.
 *
 * With --results the figures are added to a result set of kvbench, whose report then has a
 * section "Kernel against userspace".
 */
#include "cli.h"
#include "engines.h"
#include "measure/clock.h"
#include "results/results.h"

#include "../sprint-2-hash-storage/env.h"

#include <string.h>
#include <unistd.h>

enum {
	KEY = 24,
	VALUE = 100,
	TOGETHER = 64,
	LONG_SCAN = 1024,
	OPS = 4096, /* of a round, a multiple of all that is done together */
	ROUNDS_MAX = 99,
	WAYS = 3,
};

enum test { GET, GETS, PUT, PUTS, SCAN, SCAN_LONG, TESTS };

static const char *const test_name[TESTS] = {
	[GET] = "get",        [GETS] = "get of 64",  [PUT] = "put",
	[PUTS] = "put of 64", [SCAN] = "scan of 64", [SCAN_LONG] = "scan of 1024",
};
static const char *const way_name[WAYS] = { "call", "batch", "ring" };
static const char *const way_suffix[WAYS] = { "@kernel", "@kernel+batch",
					      "@kernel+ring" };

struct side {
	const char *name;
	struct kv *kv;
};

/* One way in beside userspace. */
struct pair {
	struct side user, kernel;
	double user_ns[TESTS][ROUNDS_MAX], kernel_ns[TESTS][ROUNDS_MAX];
};

static uint64_t records;
static unsigned int rounds;
static const char *only_call = "", *only_way = ""; /* how their names begin */
static char text[OPS][KEY];                        /* keys of a round */
static struct kv_slice key[OPS];
static char bytes[VALUE];

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

static void draw_keys(uint64_t seed, uint64_t below)
{
	unsigned int i;

	for (i = 0; i < OPS; i++)
		key[i] = key_of(text[i], draw(&seed) % below);
}

static int fail(const char *who, const char *what, int error)
{
	(void)fprintf(stderr, "crossing: %s: %s: %s\n", who, what, strerror(-error));
	return error;
}

/* ---- what is timed ---- */

static int do_gets(struct kv *kv)
{
	struct kv_buf value = { 0 };
	int error = 0, i;

	for (i = 0; i < OPS && !error; i++)
		error = kv_get(kv, key[i], &value);
	kv_buf_free(&value);
	return error;
}

static int do_gets_together(struct kv *kv)
{
	struct kv_buf value[TOGETHER] = { 0 };
	int errors[TOGETHER], error = 0, i, k;

	for (i = 0; i < OPS && !error; i += TOGETHER) {
		error = kv_multi_get(kv, NULL, TOGETHER, key + i, value, errors);
		for (k = 0; k < TOGETHER && !error; k++)
			error = errors[k];
	}
	for (k = 0; k < TOGETHER; k++)
		kv_buf_free(&value[k]);
	return error;
}

static int do_puts(struct kv *kv)
{
	int error = 0, i;

	for (i = 0; i < OPS && !error; i++)
		error = kv_put(kv, key[i], kv_slice(bytes, VALUE), KV_NONE);
	return error;
}

static int do_puts_together(struct kv *kv)
{
	struct kv_op op[TOGETHER];
	int error = 0, i, k;

	for (i = 0; i < OPS && !error; i += TOGETHER) {
		for (k = 0; k < TOGETHER; k++)
			op[k] = (struct kv_op){ KV_PUT, key[i + k],
						kv_slice(bytes, VALUE) };
		error = kv_write(kv, op, TOGETHER, KV_NONE);
	}
	return error;
}

/* Each pair is looked at, as who scans would. */
static int do_scans(struct kv *kv, int pairs)
{
	struct kv_cursor *c;
	size_t seen = 0;
	int error = 0, i, k;

	for (i = 0; i < OPS && !error; i += pairs) {
		error = kv_cursor(kv, NULL, &c);
		if (error)
			break;
		error = kv_seek(c, key[i]);
		for (k = 1; k < pairs && !error; k++) {
			seen += c->key.len + c->value.len;
			error = kv_next(c);
		}
		kv_cursor_close(c);
	}
	return !error && !seen ? -ENOENT : error;
}

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static bool can(const struct kv *kv, enum test t)
{
	unsigned int caps = kv->ops->caps;

	if (!begins(test_name[t], only_call))
		return false;
	switch (t) {
	case PUTS:
		return caps & KV_CAP_BATCH;
	case SCAN:
	case SCAN_LONG:
		return caps & KV_CAP_ORDERED;
	default:
		return true;
	}
}

static int do_test(struct kv *kv, enum test t)
{
	switch (t) {
	case GET:
		return do_gets(kv);
	case GETS:
		return do_gets_together(kv);
	case PUT:
		return do_puts(kv);
	case PUTS:
		return do_puts_together(kv);
	case SCAN:
		return do_scans(kv, TOGETHER);
	default:
		return do_scans(kv, LONG_SCAN);
	}
}

static int time_test(const struct side *s, enum test t, double *ns)
{
	uint64_t begun = clock_now_ns();
	int error = do_test(s->kv, t);

	*ns = (double)(clock_now_ns() - begun) / OPS;
	return error ? fail(s->name, test_name[t], error) : 0;
}

/* ---- rounds ---- */

static int run_round(struct pair *p, unsigned int round)
{
	bool odd = round & 1; /* who is first has colder caches */
	enum test t;
	int error = 0;

	for (t = 0; t < TESTS && !error; t++) {
		double *user = &p->user_ns[t][round], *kernel = &p->kernel_ns[t][round];

		*user = *kernel = 0;
		if (!can(p->user.kv, t) || !can(p->kernel.kv, t))
			continue;
		draw_keys(round * TESTS + t + 1,
			  t >= SCAN ? records - LONG_SCAN : records);
		error = odd ? time_test(&p->kernel, t, kernel)
			    : time_test(&p->user, t, user);
		if (!error)
			error = odd ? time_test(&p->user, t, user)
				    : time_test(&p->kernel, t, kernel);
	}
	return error;
}

static int load(struct kv *kv)
{
	char name[KEY];
	uint64_t i;
	int error = 0;

	for (i = 0; i < records && !error; i++)
		error = kv_put(kv, key_of(name, i), kv_slice(bytes, VALUE), KV_NONE);
	return error;
}

/* label: of an engine, with options behind a colon or without. */
static int side_open(struct side *s, const char *dir, const char *name,
		     const char *options)
{
	const struct engine_info *engine = engines_find(name);
	struct kv_msg why = { "" };
	char path[128];
	int error;

	if (!engine)
		return fail(name, "there is no such engine", -EINVAL);
	if (!engine->ops) {
		engines_absence(engine, why.text, sizeof(why.text));
		return fail(name, why.text, -ENODEV);
	}
	s->name = engine->name;
	(void)snprintf(path, sizeof(path), "%s/crossing-%s-%d", dir, name, (int)getpid());
	error = kv_open(engine->ops, env_posix(), path, options, &s->kv, &why);
	if (!error && engine->kind != ENGINE_NULL)
		error = load(s->kv);
	return error ? fail(name, why.text[0] ? why.text : "load", error) : 0;
}

static int run_pair(struct pair *p, const char *dir, const char *engine,
		    const char *options, unsigned int way)
{
	char user[32], kernel[48];
	unsigned int round;
	int error;

	/* Each store has a directory of its own, and no bytes of those before. */
	(void)snprintf(user, sizeof(user), "%s", engine);
	(void)snprintf(kernel, sizeof(kernel), "%s%s", engine, way_suffix[way]);
	memset(p, 0, sizeof(*p));
	error = side_open(&p->user, dir, user, options);
	if (!error)
		error = side_open(&p->kernel, dir, kernel, NULL);
	for (round = 0; round < rounds && !error; round++)
		error = run_round(p, round);
	if (p->user.kv)
		(void)kv_close(p->user.kv);
	if (p->kernel.kv)
		(void)kv_close(p->kernel.kv);
	return error;
}

static int time_null(const char *dir, double *ns)
{
	struct side null = { 0 };
	unsigned int round;
	int error = side_open(&null, dir, "null@kernel", NULL);

	draw_keys(1, records);
	for (round = 0; round < rounds && !error; round++)
		error = time_test(&null, GET, &ns[round]);
	if (null.kv)
		(void)kv_close(null.kv);
	return error;
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(const double *x)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, x, rounds * sizeof(*x));
	qsort(sorted, rounds, sizeof(*sorted), compare);
	return sorted[rounds / 2];
}

static double median_ratio(const double *over, const double *under)
{
	double ratio[ROUNDS_MAX];
	unsigned int i;

	for (i = 0; i < rounds; i++)
		ratio[i] = over[i] / under[i];
	return median(ratio);
}

static int add_figures(json_t *out, const struct pair *p, const char *engine,
		       unsigned int way)
{
	enum test t;
	int error = 0;

	for (t = 0; t < TESTS && !error; t++) {
		if (!p->user_ns[t][0])
			continue;
		error = json_array_append_new(
				out,
				json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "engine",
					  engine, "way", way_name[way], "call",
					  test_name[t], "user_ns", median(p->user_ns[t]),
					  "kernel_ns", median(p->kernel_ns[t]), "ratio",
					  median_ratio(p->kernel_ns[t], p->user_ns[t])))
				? -ENOMEM
				: 0;
		printf("%-8s %-6s %-13s %9.0f ns %9.0f ns %7.2fx\n", engine,
		       way_name[way], test_name[t], median(p->user_ns[t]),
		       median(p->kernel_ns[t]),
		       median_ratio(p->kernel_ns[t], p->user_ns[t]));
	}
	(void)fflush(stdout);
	return error;
}

static int run_engine(json_t *out, const char *dir, const char *label)
{
	static struct pair pair;
	const char *options = strchr(label, ':');
	char engine[16];
	unsigned int way;
	int error = 0;

	(void)snprintf(engine, sizeof(engine), "%.*s",
		       (int)(options ? (size_t)(options - label) : strlen(label)), label);
	for (way = 0; way < WAYS && !error; way++) {
		if (!begins(way_name[way], only_way))
			continue;
		error = run_pair(&pair, dir, engine, options ? options + 1 : NULL, way);
		if (!error)
			error = add_figures(out, &pair, engine, way);
	}
	return error;
}

static int save(json_t *crossings, double null_ns, const char *path)
{
	struct kv_msg why = { "" };
	json_t *set = NULL, *all;
	int error = results_load(path, &set, &why);

	if (!error) {
		all = json_pack("{s:f, s:I, s:i, s:O}", "null_ns", null_ns, "records",
				(json_int_t)records, "rounds", (int)rounds, "figures",
				crossings);
		error = json_object_set_new(set, "crossing", all)
				? -ENOMEM
				: results_save(set, path, &why);
	}
	json_decref(set);
	return error ? fail(path, why.text, error) : 0;
}

int main(int argc, char **argv)
{
	const char *dir = "/tmp", *results = NULL;
	uint64_t turns = 7;
	double null_ns[ROUNDS_MAX];
	json_t *figures = json_array();
	int parsed, rest, error, i;
	const struct cli_option options[] = {
		{ "results", 'r', CLI_TEXT, &results, "FILE", "adds the figures to it" },
		{ "dir", 'd', CLI_TEXT, &dir, "DIR", "of the stores in userspace" },
		{ "records", 'n', CLI_COUNT, &records, "N", "pairs in each store" },
		{ "call", 0, CLI_TEXT, &only_call, "NAME", "get, put, scan" },
		{ "way", 0, CLI_TEXT, &only_way, "NAME", "call, batch or ring alone" },
		{ "rounds", 0, CLI_COUNT, &turns, "N", "turns of both sides" },
		{ 0 },
	};
	const struct cli_command command = {
		"crossing", "[OPTIONS] ENGINE[:OPTIONS]...",
		"Times the calls of kv.h on an engine in this process and in the kernel.\n"
		"The engine's module must be loaded, with the same options.",
		NULL, options
	};

	cli_program = "crossing";
	records = 20000;
	parsed = cli_parse(&command, argc, argv, &rest);
	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? 0 : 2;
	rounds = (unsigned int)turns;
	if (rest == argc || records <= LONG_SCAN || !rounds || turns > ROUNDS_MAX) {
		(void)fprintf(stderr,
			      "crossing: wants engines, more than %d records and "
			      "1 to %d rounds\n",
			      LONG_SCAN, ROUNDS_MAX);
		return 2;
	}
	memset(bytes, 'v', sizeof(bytes));
	error = figures ? time_null(dir, null_ns) : -ENOMEM;
	if (error)
		return 1;
	printf("an empty ioctl, and a get of the null engine: %.0f ns\n",
	       median(null_ns));
	printf("%-8s %-6s %-13s %12s %12s %8s\n", "engine", "way", "call", "userspace",
	       "kernel", "ratio");
	for (i = rest; i < argc && !error; i++)
		error = run_engine(figures, dir, argv[i]);
	if (!error && results)
		error = save(figures, median(null_ns), results);
	json_decref(figures);
	return error ? 1 : 0;
}
