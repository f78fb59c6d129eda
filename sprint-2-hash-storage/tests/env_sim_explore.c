/* SPDX-License-Identifier: MIT */
/*
 * env_sim_explore.c - which of the disks that crashes leave are looked at; copies.
 */
#include "env_sim_internal.h"

/* ---- what a disk is called ---- */

static const char *change_text(const struct sim_entry *e)
{
	switch (e->change) {
	case SIM_DATA:
		return e->store ? "store" : "write";
	case SIM_RESIZE:
		return "resize";
	case SIM_SYNCED:
		return "sync";
	case SIM_SYNC_FAILED:
		return "failed sync";
	case SIM_POKE:
		return "flip";
	case SIM_CREATE:
		return "create";
	case SIM_REMOVE:
		return "remove";
	case SIM_MOVE:
		return "rename";
	case SIM_DIR_SYNCED:
		return "sync of names";
	}
	return "?";
}

static const char *loss_text(enum env_sim_loss loss)
{
	static const char *const text[] = {
		[SIM_LOSE_ALL] = "all lost", [SIM_LOSE_NONE] = "none lost",
		[SIM_ZEROS] = "zeros",       [SIM_PREFIX] = "prefix",
		[SIM_TORN] = "torn",         [SIM_SUBSET] = "subset",
		[SIM_RANDOM] = "random",
	};

	return text[loss];
}

static char *name_point(const struct sim_crash *c, const struct env_sim_point *p)
{
	const struct env_sim *sim = c->follow.sim;
	char last[ENV_PATH_MAX + 64] = "the beginning", text[ENV_PATH_MAX + 256];
	char *out;
	size_t n;

	if (p->at) {
		const struct sim_entry *e = &sim->journal.entry[p->at - 1];
		const char *path = c->follow.disk.node[e->node]->path;

		(void)snprintf(last, sizeof(last), "%s %s%s%s", change_text(e), path,
			       e->name && *path ? "/" : "", e->name ? e->name : "");
	}
	(void)snprintf(text, sizeof(text), "%scrash at %zu (%s) %s %llu",
		       *sim->origin ? ", then " : "", p->at, last, loss_text(p->loss),
		       (unsigned long long)p->choice);
	n = strlen(sim->origin) + strlen(text) + 1;
	out = sim_alloc(n);
	(void)snprintf(out, n, "%s%s", sim->origin, text);
	return out;
}

/* A life of its own: ids that it draws must not repeat those of the life before. */
static uint64_t seed_of(const struct env_sim *sim, const struct env_sim_point *p)
{
	uint64_t seed = sim->config.seed;

	seed = sim_next(&seed) ^ p->at;
	seed = sim_next(&seed) ^ ((uint64_t)p->loss << 56 ^ p->choice);
	return sim_next(&seed);
}

/* ---- one disk ---- */

static struct env_sim *build_point(struct sim_crash *c, const struct env_sim_point *p,
				   bool journal)
{
	struct env_sim *disk;

	if (!sim_crash_choose(c, p))
		return NULL;
	disk = sim_crash_build(c, seed_of(c->follow.sim, p), journal);
	free(disk->origin);
	disk->origin = name_point(c, p);
	return disk;
}

struct env_sim *env_sim_crash(struct env_sim *sim, const struct env_sim_point *p,
			      bool journal)
{
	struct sim_crash *c;
	struct env_sim *disk;

	(void)env_sim_position(sim);
	c = sim_crash_new(sim);
	sim_crash_seek(c, p->at);
	disk = build_point(c, p, journal);
	sim_crash_free(c);
	return disk;
}

uint64_t env_sim_subsets(struct env_sim *sim, size_t at, uint64_t limit)
{
	struct sim_crash *c;
	uint64_t n;

	(void)env_sim_position(sim);
	c = sim_crash_new(sim);
	sim_crash_seek(c, at);
	n = sim_crash_subsets(c, limit);
	sim_crash_free(c);
	return n;
}

struct env_sim *env_sim_copy(struct env_sim *sim, bool journal)
{
	struct env_sim_config config = sim->config;
	uint64_t seed = sim->config.seed;
	struct env_sim *copy;

	(void)env_sim_position(sim);
	config.seed = sim_next(&seed);
	config.no_journal = !journal;
	copy = sim_new(&config);
	sim_disk_copy(&copy->disk, &sim->disk);
	if (journal)
		sim_disk_copy(&copy->base, &sim->disk);
	copy->blocks = sim_disk_blocks(&copy->disk);
	copy->depth = sim->depth;
	copy->schedule.now_ns = sim->schedule.now_ns;
	free(copy->origin);
	copy->origin = sim_strdup(sim->origin);
	return copy;
}

/* ---- all of them ---- */

struct exploring {
	struct env_sim_explore *e;
	struct sim_crash *c;
	uint64_t rng;
};

static void tell(struct env_sim_explore *e, const struct env_sim *disk, int error)
{
	/* An exploration of that disk knows which crash after it. */
	if (disk->failed)
		(void)snprintf(e->failed, sizeof(e->failed), "%s", disk->failed);
	else
		(void)snprintf(e->failed, sizeof(e->failed), "%s: %d (%s)", disk->origin,
			       error, error < 0 ? strerror(-error) : "the check's own");
}

static int check_point(struct exploring *x, const struct env_sim_point *p)
{
	struct env_sim_explore *e = x->e;
	struct env_sim *disk = build_point(x->c, p, e->journal);
	int error;

	if (!disk)
		return 0;
	e->states++;
	error = e->check(e->arg, disk, p->at);
	if (error) {
		tell(e, disk, error);
		/* What a failed check left open refers to the disk. */
		if (env_sim_live(disk))
			return error;
	}
	env_sim_free(disk);
	return error;
}

static int check_subsets(struct exploring *x, size_t at, uint64_t n)
{
	struct env_sim_point p = { .at = at, .loss = SIM_SUBSET };
	int error = 0;

	for (; !error && p.choice < n; p.choice++)
		error = check_point(x, &p);
	return error;
}

static int check_fixed(struct exploring *x, size_t at)
{
	static const enum env_sim_loss loss[] = { SIM_LOSE_ALL, SIM_LOSE_NONE,
						  SIM_ZEROS };
	size_t i;
	int error = 0;

	for (i = 0; !error && i < sizeof(loss) / sizeof(*loss); i++)
		error = check_point(x, &(struct env_sim_point){ at, loss[i], 0 });
	return error;
}

static int check_samples(struct exploring *x, size_t at, enum env_sim_loss loss,
			 uint64_t choices)
{
	struct env_sim_point p = { .at = at, .loss = loss };
	unsigned int i, n = x->e->samples ? x->e->samples : 8;
	int error = 0;

	for (i = 0; !error && i < n; i++) {
		p.choice = sim_next(&x->rng);
		p.choice = choices ? p.choice % choices : p.choice;
		error = check_point(x, &p);
	}
	return error;
}

static uint64_t count_pending(struct sim_crash *c)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < c->dirs; i++)
		n += sim_crash_pending(c, c->dir[i])->names;
	for (i = 0; i < c->files; i++)
		n += sim_crash_pending(c, c->file[i].node)->items;
	return n;
}

static int explore_position(struct exploring *x, size_t at)
{
	uint64_t limit = x->e->exhaustive ? x->e->exhaustive : 1024;
	uint64_t subsets, pending;
	int error;

	sim_crash_seek(x->c, at);
	subsets = sim_crash_subsets(x->c, limit);
	pending = count_pending(x->c);
	if (subsets <= limit) {
		error = check_subsets(x, at, subsets);
		/* Subsets are of whole sectors. */
		if (!error && sim_crash_has_stores(x->c)) {
			error = check_samples(x, at, SIM_TORN, pending * 16);
			if (!error)
				error = check_samples(x, at, SIM_RANDOM, 0);
		}
		return error;
	}
	error = check_fixed(x, at);
	if (!error)
		error = check_samples(x, at, SIM_PREFIX, pending);
	if (!error)
		error = check_samples(x, at, SIM_TORN, pending * 16);
	return error ? error : check_samples(x, at, SIM_RANDOM, 0);
}

int env_sim_explore(struct env_sim *sim, struct env_sim_explore *e)
{
	size_t end = env_sim_position(sim), at;
	struct exploring x = { .e = e, .rng = sim->config.seed };
	int error = 0;

	if (e->to && e->to < end)
		end = e->to;
	e->states = 0;
	e->failed[0] = '\0';
	x.c = sim_crash_new(sim);
	for (at = e->from; !error && at <= end; at += e->every ? e->every : 1)
		error = explore_position(&x, at);
	sim_crash_free(x.c);
	if (error) {
		free(sim->failed);
		sim->failed = sim_strdup(e->failed);
	}
	return error;
}
