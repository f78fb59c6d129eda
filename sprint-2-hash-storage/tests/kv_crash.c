/* SPDX-License-Identifier: MIT */
/*
 * kv_crash.c - the disks after a crash: which, and what is checked.
 */
#include "kv_crash_internal.h"

enum { LIFE_STEPS = 6, SECOND_EVERY = 5, BACKUP_ONE_IN = 8, DEPTH_MAX = 2 };

/* ---- one disk ---- */

/* How many writes of each client must be there, and may. */
struct window {
	size_t least[CRASH_CLIENTS], most[CRASH_CLIENTS];
};

static struct window window_at(const struct crash_run *h, size_t at)
{
	struct window w = { { 0 }, { 0 } };
	unsigned int i;

	for (i = 0; i < h->clients; i++) {
		w.least[i] = life_least(&h->life[i], at);
		w.most[i] = life_most(&h->life[i], at);
	}
	return w;
}

static uint64_t *row_new(const struct crash_run *h)
{
	uint64_t *row = calloc(h->clients * h->keys, sizeof(*row));

	if (!row)
		exit(1);
	return row;
}

/* 1 when row is no prefix of a client's writes, or not one that it may be. */
static int check_window(struct crash_run *h, const uint64_t *row, const struct window *w)
{
	unsigned int i;

	for (i = 0; i < h->clients; i++) {
		const struct crash_life *l = &h->life[i];
		size_t n;

		if (life_match(l, row, w->least[i], w->most[i]) != SIZE_MAX)
			continue;
		n = life_match(l, row, 0, l->n);
		if (n == SIZE_MAX)
			return crash_fail(h,
					  "client %u: no prefix of its writes (wanted "
					  "%zu to %zu)",
					  i, w->least[i], w->most[i]);
		return crash_fail(h, "client %u: %zu writes are there, wanted %zu to %zu",
				  i, n, w->least[i], w->most[i]);
	}
	return 0;
}

static int verify(struct crash_run *h, struct kv *kv)
{
	struct kv_msg why = { "" };
	int error = 0;

	if (h->c->ops->caps & KV_CAP_VERIFY)
		error = kv_verify(kv, &why);
	return error ? crash_fail(h, "verify: %d (%s)", error, why.text) : 0;
}

static int close_disk(struct crash_run *h, struct kv *kv)
{
	int error = kv_close(kv);

	return error ? crash_fail(h, "close: %d (%s)", error, strerror(-error)) : 0;
}

/* Opens, reads everything into row, and verifies. The store stays open. */
static int open_and_read(struct crash_run *h, struct env_sim *disk, const char *dir,
			 uint64_t *row, struct kv **kv)
{
	int error = crash_open(h, disk, dir, kv);

	if (error)
		return 1;
	error = crash_read(h, *kv, NULL, row);
	if (!error)
		error = verify(h, *kv);
	if (!error)
		return 0;
	(void)kv_close(*kv);
	return 1;
}

static int same_row(struct crash_run *h, const uint64_t *a, const uint64_t *b)
{
	return !memcmp(a, b, h->clients * h->keys * sizeof(*a))
		       ? 0
		       : crash_fail(h, "opening it again shows another state");
}

/* ---- the life after ---- */

static int life_write(struct crash_run *h, struct env_sim *disk, struct crash_life *l,
		      struct kv *kv, unsigned int step)
{
	static const enum kv_durability how[LIFE_STEPS] = { KV_NONE, KV_SYNC, KV_NONE,
							    KV_NONE, KV_SYNC, KV_NONE };
	unsigned int n = step % 3 == 2 && (h->c->ops->caps & KV_CAP_BATCH) ? 2 : 1, i;
	char name[2][CRASH_KEY_BYTES];
	struct kv_buf value[2] = { 0 };
	struct kv_op op[2];
	uint64_t *row = life_begin(l, env_sim_position(disk));
	int error;

	for (i = 0; i < n; i++) {
		unsigned int key = (step * 5 + i) % l->keys;
		bool put = step != 3;
		row[key] = put ? 1ull << 56 | step << 8 | i : 0;
		op[i] = (struct kv_op){ .type = put ? KV_PUT : KV_DELETE };
		op[i].key = crash_key(l->first + key, name[i]);
		if (put)
			op[i].value = crash_value(h, row[key], &value[i]);
	}
	error = kv_write(kv, op, n, how[step]);
	for (i = 0; i < n; i++)
		kv_buf_free(&value[i]);
	if (error)
		return crash_fail(h, "write after recovery: %d (%s)", error,
				  strerror(-error));
	if (how[step] == KV_SYNC)
		life_floor(l, env_sim_position(disk));
	return 0;
}

/* What was recovered goes on: writes, cleaning, a close. l begins with what was there. */
static int live_on(struct crash_run *h, struct env_sim *disk, struct crash_life *l,
		   struct kv *kv)
{
	unsigned int step;
	int error = 0, closed;

	for (step = 0; !error && step < LIFE_STEPS; step++) {
		error = life_write(h, disk, l, kv, step);
		if (!error && step == 2) {
			error = kv_compact(kv);
			if (error)
				error = crash_fail(h, "compact after recovery: %d (%s)",
						   error, strerror(-error));
		}
	}
	closed = close_disk(h, kv);
	if (!error && !closed)
		life_floor(l, env_sim_position(disk));
	return error | closed;
}

/* Opened once more, after a close: the same; then it lives on, and that is there too. */
static int check_again(struct crash_run *h, struct env_sim *disk, const uint64_t *before)
{
	uint64_t *row = row_new(h);
	struct crash_life l;
	struct kv *kv;
	int error = open_and_read(h, disk, "store", row, &kv);

	life_init(&l, 0, h->keys, before);
	if (error)
		goto out;
	error = same_row(h, before, row);
	if (error)
		(void)kv_close(kv);
	else
		error = live_on(h, disk, &l, kv);
	if (error)
		goto out;
	error = open_and_read(h, disk, "store", row, &kv);
	if (error)
		goto out;
	memcpy(row + h->keys, before + h->keys,
	       (h->clients - 1) * h->keys * sizeof(*row));
	if (life_match(&l, row, l.n, l.n) == SIZE_MAX)
		error = crash_fail(h, "what was written after the recovery is not there");
	error |= close_disk(h, kv);
out:
	life_free(&l);
	free(row);
	return error;
}

/* ---- a second crash ---- */

struct second {
	struct crash_run *h;
	const struct window *first; /* what the first crash allowed */
	struct crash_life life;     /* from what it left */
};

static int check_second(void *arg, struct env_sim *disk, size_t at)
{
	struct second *s = arg;
	struct crash_run *h = s->h;
	size_t least = life_least(&s->life, at), most = life_most(&s->life, at);
	uint64_t *row = row_new(h);
	struct kv *kv;
	int error = open_and_read(h, disk, "store", row, &kv);

	h->r->recoveries++;
	if (!error) {
		if (life_match(&s->life, row, least, most) == SIZE_MAX)
			error = least ? crash_fail(h, "what was durable after the first "
						      "recovery is gone")
				      : check_window(h, row, s->first);
		error |= close_disk(h, kv);
	}
	free(row);
	return error;
}

static int recover_and_live(struct second *s, struct env_sim *disk)
{
	struct crash_run *h = s->h;
	uint64_t *row = row_new(h);
	struct kv *kv;
	int error = open_and_read(h, disk, "store", row, &kv);

	life_init(&s->life, 0, h->keys, row);
	if (!error)
		error = live_on(h, disk, &s->life, kv);
	free(row);
	return error;
}

/* The same disk, with a journal of what recovery does to it. */
static int crash_twice(struct crash_run *h, struct env_sim *disk, const struct window *w,
		       const struct env_sim_point *only)
{
	struct env_sim *copy = env_sim_copy(disk, true), *twice;
	struct second s = { .h = h, .first = w };
	struct env_sim_explore e = {
		.from = h->r->states % SECOND_EVERY,
		.every = SECOND_EVERY,
		.samples = 1,
		.exhaustive = 4,
		.check = check_second,
		.arg = &s,
	};
	int error = recover_and_live(&s, copy);

	if (!error && only) {
		twice = env_sim_crash(copy, only, false);
		if (twice)
			error = check_second(&s, twice, only->at);
		env_sim_free(twice);
	} else if (!error) {
		error = env_sim_explore(copy, &e);
		memcpy(h->twice, e.failed, sizeof(h->twice));
	}
	life_free(&s.life);
	env_sim_free(copy);
	return error;
}

/* ---- backups ---- */

static int check_backup(struct crash_run *h, struct env_sim *disk,
			const struct crash_backup *b)
{
	uint64_t *row = row_new(h);
	struct kv *kv;
	int error = open_and_read(h, disk, b->dir, row, &kv);

	if (!error) {
		if (life_match(&h->life[0], row, b->n, b->n) == SIZE_MAX)
			error = crash_fail(h, "%s does not hold the %zu writes before it",
					   b->dir, b->n);
		error |= close_disk(h, kv);
	}
	free(row);
	return error;
}

/* One that was cut short is refused, or is no store yet, or is complete. */
static int check_unfinished(struct crash_run *h, struct env_sim *disk,
			    const struct crash_backup *b)
{
	uint64_t *row = row_new(h);
	struct kv_msg detail = h->detail;
	struct kv *kv;
	int error = 0;

	if (crash_open(h, disk, b->dir, &kv)) {
		h->detail = detail;
		goto out;
	}
	error = crash_read(h, kv, NULL, row);
	if (!error && life_match(&h->life[0], row, b->n, b->n) == SIZE_MAX &&
	    life_match(&h->life[0], row, 0, 0) == SIZE_MAX)
		error = crash_fail(h, "%s was cut short and passes for a backup", b->dir);
	error |= close_disk(h, kv);
out:
	free(row);
	return error;
}

static int check_backups(struct crash_run *h, struct env_sim *disk, size_t at)
{
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < h->backups; i++)
		if (h->backup[i].done <= at)
			error = check_backup(h, disk, &h->backup[i]);
		else if (h->backup[i].begun < at)
			error = check_unfinished(h, disk, &h->backup[i]);
	return error;
}

/* ---- every disk ---- */

static bool one_in(uint64_t count, unsigned int n, bool all)
{
	return all || (n && count % n == 0);
}

static int check_disk(struct crash_run *h, struct env_sim *disk, size_t at,
		      const struct env_sim_point *then, bool all)
{
	struct window w = window_at(h, at);
	uint64_t *row = row_new(h), state = h->r->states++;
	struct kv *kv;
	int error = 0;

	if (then || one_in(state, h->c->again, false))
		error = crash_twice(h, disk, &w, then);
	if (error)
		goto out;
	error = open_and_read(h, disk, "store", row, &kv);
	if (error)
		goto out;
	error = check_window(h, row, &w);
	error |= close_disk(h, kv);
	if (!error && one_in(state, h->c->thorough ? h->c->thorough : 1, all))
		error = check_again(h, disk, row);
	if (!error && one_in(state, BACKUP_ONE_IN, all))
		error = check_backups(h, disk, at);
out:
	free(row);
	return error;
}

static int check_crash(void *arg, struct env_sim *disk, size_t at)
{
	return check_disk(arg, disk, at, NULL, false);
}

/* ---- one disk again: KV_CRASH ---- */

static const struct {
	const char *brief, *text; /* text: as in env_sim_origin() */
} losses[] = {
	[SIM_LOSE_ALL] = { "all", "all lost" }, [SIM_LOSE_NONE] = { "none", "none lost" },
	[SIM_ZEROS] = { "zeros", "zeros" },     [SIM_PREFIX] = { "prefix", "prefix" },
	[SIM_TORN] = { "torn", "torn" },        [SIM_SUBSET] = { "subset", "subset" },
	[SIM_RANDOM] = { "random", "random" },
};

enum { LOSSES = sizeof(losses) / sizeof(losses[0]) };

/* "crash at 17 (sync store/a) none lost 0, then ..." to "17:none:0+...". */
static void brief_origin(const char *origin, char *out, size_t size)
{
	size_t used = 0, i;

	*out = '\0';
	while ((origin = strstr(origin, "crash at ")) != NULL) {
		const char *loss = strstr(origin, ") ");
		size_t at = strtoull(origin + strlen("crash at "), NULL, 10);

		for (i = 0; loss && i < LOSSES; i++) {
			size_t n = strlen(losses[i].text);

			if (strncmp(loss + 2, losses[i].text, n) != 0 ||
			    loss[2 + n] != ' ')
				continue;
			used += (size_t)snprintf(out + used, size - used, "%s%zu:%s:%llu",
						 used ? "+" : "", at, losses[i].brief,
						 strtoull(loss + 3 + n, NULL, 10));
			break;
		}
		if (!loss || i == LOSSES || used >= size)
			return;
		origin = loss;
	}
}

/* Returns how many points there are, 0 when the text is none. */
static unsigned int parse_points(const char *text, struct env_sim_point *point)
{
	unsigned int n = 0;
	size_t i, len = 0;

	for (; n < DEPTH_MAX; text++) {
		char *end;
		struct env_sim_point p = { .at = strtoull(text, &end, 10) };

		for (i = 0; *end == ':' && i < LOSSES; i++) {
			len = strlen(losses[i].brief);
			if (!strncmp(end + 1, losses[i].brief, len) &&
			    end[1 + len] == ':')
				break;
		}
		if (*end != ':' || i == LOSSES)
			return 0;
		p.loss = (enum env_sim_loss)i;
		p.choice = strtoull(end + 2 + len, &end, 10);
		point[n++] = p;
		text = end;
		if (!*text)
			return n;
		if (*text != '+')
			return 0;
	}
	return 0;
}

static int replay(struct crash_run *h, struct env_sim *sim, const char *points)
{
	struct env_sim_point point[DEPTH_MAX];
	unsigned int n = parse_points(points, point);
	struct env_sim *disk;
	int error;

	if (!n)
		return crash_fail(h, "KV_CRASH: '%s' is not at:loss:choice[+...]",
				  points);
	disk = env_sim_crash(sim, &point[0], false);
	if (!disk)
		return crash_fail(h, "KV_CRASH: '%s': no such choice", points);
	error = check_disk(h, disk, point[0].at, n > 1 ? &point[1] : NULL, true);
	env_sim_free(disk);
	return error;
}

/* ---- the whole ---- */

static void tell(struct crash_run *h, const char *disk)
{
	const struct kv_crash_config *c = h->c;
	char brief[256];

	/* The outer exploration knows its own disk alone. */
	if (*h->twice)
		disk = h->twice;
	brief_origin(disk, brief, sizeof(brief));
	(void)snprintf(h->r->failed, sizeof(h->r->failed),
		       "%s, seed %llu: %s\n%s\nreplay: KV_SEED=%llu KV_CRASH=%s%s%s",
		       c->name, (unsigned long long)c->seed, h->detail.text,
		       *disk ? disk : "in the history itself",
		       (unsigned long long)c->seed, c->name, *brief ? "@" : "", brief);
}

static void run_begin(struct crash_run *h, const struct kv_crash_config *c,
		      struct kv_crash_report *r)
{
	const struct kv_opt *o;
	unsigned int i;

	*r = (struct kv_crash_report){ 0 };
	*h = (struct crash_run){ .c = c, .r = r };
	h->clients = c->clients ? c->clients : 1;
	h->clients = h->clients < CRASH_CLIENTS ? h->clients : CRASH_CLIENTS;
	h->steps = c->steps ? c->steps : 100;
	h->keys = c->keys ? c->keys : 16;
	h->value_max = c->value_max ? c->value_max : 2000;
	h->group_ns = 100000000;
	for (o = c->ops->opts; o && o->name; o++)
		if (!strcmp(o->name, "group_ms"))
			h->group_ns = o->init * 1000000;
	for (i = 0; i < h->clients; i++)
		life_init(&h->life[i], i * h->keys, h->keys, NULL);
}

static void run_end(struct crash_run *h)
{
	unsigned int i;

	for (i = 0; i < h->clients; i++)
		life_free(&h->life[i]);
}

int kv_crash_run(const struct kv_crash_config *c, struct kv_crash_report *r)
{
	const struct env_sim_config config = {
		.seed = c->seed,
		.preempt = c->preempt,
		.spurious = true,
	};
	struct env_sim_explore e = {
		.every = c->every,
		.samples = c->samples,
		.exhaustive = c->exhaustive,
		.check = check_crash,
	};
	const char *only = getenv("KV_CRASH");
	size_t n = strlen(c->name);
	struct crash_run h;
	struct env_sim *sim;
	int error;

	run_begin(&h, c, r);
	if (only && (strncmp(only, c->name, n) != 0 || (only[n] && only[n] != '@')))
		goto out;
	sim = env_sim_new(&config);
	error = crash_history(&h, sim);
	r->positions = env_sim_position(sim) + 1;
	r->trace = env_sim_trace(sim);
	e.arg = &h;
	if (!error && only && only[n])
		error = replay(&h, sim, only + n + 1);
	else if (!error)
		error = env_sim_explore(sim, &e);
	if (error)
		tell(&h, e.failed);
	env_sim_free(sim);
out:
	run_end(&h);
	return *r->failed != '\0';
}
