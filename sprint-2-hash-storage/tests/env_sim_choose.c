/* SPDX-License-Identifier: MIT */
/*
 * env_sim_choose.c - the ways in which a crash can choose what came out.
 *
 * Subsets are numbered: names first (each directory a prefix of its changes), then for
 * the files that these names reach, a size each and a version of each sector that this
 * size shows. Numbers that would build the same disk twice are left out.
 */
#include "env_sim_internal.h"

enum { MAX_NAMES = 256 }; /* ways to take names; beyond, subsets are not counted */

/* ---- prefixes ---- */

static int compare_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

/* The journal's numbers of all unsynced changes, ascending; the caller frees. */
static size_t *list_pending(struct sim_crash *c, size_t *n)
{
	size_t *out = NULL, cap = 0, i, k, unique = 0;

	*n = 0;
	for (i = 0; i < c->dirs + c->files; i++) {
		uint32_t node = i < c->dirs ? c->dir[i] : c->file[i - c->dirs].node;
		const struct sim_pending *p = sim_crash_pending(c, node);

		out = sim_grow(out, &cap, *n + p->names + p->items, sizeof(*out));
		for (k = 0; k < p->names; k++)
			out[(*n)++] = p->name[k];
		for (k = 0; k < p->items; k++)
			out[(*n)++] = p->item[k].entry;
	}
	if (*n)
		qsort(out, *n, sizeof(*out), compare_number);
	/* A move between directories stands in both, a clipped write in two parts. */
	for (i = 0; i < *n; i++)
		if (!i || out[i] != out[i - 1])
			out[unique++] = out[i];
	*n = unique;
	return out;
}

static bool choose_prefix(struct sim_crash *c, uint64_t choice)
{
	size_t n, *entry = list_pending(c, &n);
	size_t cut = choice < n ? entry[choice] : c->follow.at;

	free(entry);
	if (choice > n)
		return false;
	sim_crash_pick_prefix(c, cut, true);
	return true;
}

/* Of the entry's sectors only [first, first + n) come out. */
static void tear_entry(struct sim_crash *c, size_t entry, uint64_t first, uint64_t n)
{
	struct sim_file_unit *file = NULL;
	size_t i;

	for (i = 0; i < c->files; i++)
		if (c->file[i].node == c->follow.sim->journal.entry[entry].node)
			file = &c->file[i];
	for (i = file ? file->first : 0; file && i < file->first + file->units; i++) {
		struct sim_sector_unit *unit = &c->sector[i];
		const struct sim_pending *p = sim_crash_pending(c, file->node);

		if (unit->pick &&
		    p->item[c->version[unit->first + unit->pick - 1]].entry == entry &&
		    unit->sector - first >= n)
			unit->pick--;
	}
}

/* A single sector, stored to through a map: so many sixteenths of it. */
static void tear_store(struct sim_crash *c, size_t entry, unsigned int part, bool head)
{
	size_t i;

	for (i = 0; i < c->sectors; i++) {
		struct sim_sector_unit *unit = &c->sector[i];

		if (c->follow.sim->journal.entry[entry].sector != unit->sector ||
		    !unit->pick)
			continue;
		unit->from = head ? 0 : SIM_SECTOR / 16 * (16 - part);
		unit->to = head ? SIM_SECTOR / 16 * part : SIM_SECTOR;
	}
}

/* Parts 0..7 are the beginning of the next change, 8..15 its end. */
static bool choose_torn(struct sim_crash *c, uint64_t choice)
{
	size_t n, *pending = list_pending(c, &n);
	unsigned int part = (unsigned int)(choice % 16);
	const struct sim_entry *e;
	size_t entry;
	uint64_t whole;
	bool found = choice / 16 < n;

	entry = found ? pending[choice / 16] : 0;
	free(pending);
	if (!found)
		return false;
	e = &c->follow.sim->journal.entry[entry];
	if (e->change != SIM_DATA)
		return false;
	if (e->sectors == 1 && !e->store)
		return false;
	sim_crash_pick_prefix(c, entry + 1, true);
	if (e->sectors == 1) {
		tear_store(c, entry, part % 8 * 2 + 1, part < 8);
		return true;
	}
	whole = 1 + (uint64_t)(part % 8) * (e->sectors - 1) / 8;
	tear_entry(c, entry, part < 8 ? e->sector : e->sector + e->sectors - whole,
		   whole);
	return true;
}

/* ---- subsets ---- */

/* The next way to take names: an odometer. false after the last. */
static bool next_names(struct sim_crash *c)
{
	size_t i;

	for (i = 0; i < c->dirs; i++) {
		struct sim_pending *p = sim_crash_pending(c, c->dir[i]);

		if (p->take++ < p->names)
			return true;
		p->take = 0;
	}
	return false;
}

static bool too_many_names(struct sim_crash *c)
{
	uint64_t ways = 1;
	size_t i;

	for (i = 0; i < c->dirs && ways <= MAX_NAMES; i++)
		ways *= sim_crash_pending(c, c->dir[i])->names + 1;
	return ways > MAX_NAMES;
}

static uint64_t times(uint64_t a, uint64_t b, uint64_t limit)
{
	return b && a > limit / b ? limit + 1 : a * b;
}

static uint64_t count_sectors(struct sim_crash *c, const struct sim_file_unit *file,
			      uint64_t limit)
{
	size_t *option = NULL, cap = 0, i;
	uint64_t n = 1;

	for (i = file->first; n <= limit && i < file->first + file->units; i++) {
		option = sim_grow(option, &cap, c->sector[i].versions + 1,
				  sizeof(*option));
		n = times(n, sim_crash_options(c, file, &c->sector[i], option), limit);
	}
	free(option);
	return n;
}

static uint64_t count_file(struct sim_crash *c, struct sim_file_unit *file,
			   uint64_t limit)
{
	size_t items = sim_crash_pending(c, file->node)->items, pick;
	uint64_t n = 0;

	for (pick = 0; n <= limit && pick <= items; pick++) {
		if (!sim_crash_new_size(c, file, pick))
			continue;
		file->pick = pick;
		n += count_sectors(c, file, limit);
	}
	return n > limit ? limit + 1 : n;
}

/* With the names that are taken. */
static uint64_t count_files(struct sim_crash *c, uint64_t limit)
{
	uint64_t n = 1;
	size_t i;

	sim_crash_reach(c);
	for (i = 0; i < c->files && n <= limit; i++)
		if (c->file[i].reachable)
			n = times(n, count_file(c, &c->file[i], limit), limit);
	return n;
}

uint64_t sim_crash_subsets(struct sim_crash *c, uint64_t limit)
{
	uint64_t n = 0;

	sim_crash_pick_prefix(c, 0, false);
	if (too_many_names(c))
		return limit + 1;
	do {
		if (sim_follow_names_closed(&c->follow))
			n += count_files(c, limit);
	} while (n <= limit && next_names(c));
	return n > limit ? limit + 1 : n;
}

static void choose_file(struct sim_crash *c, struct sim_file_unit *file, uint64_t choice)
{
	size_t items = sim_crash_pending(c, file->node)->items, pick, i;
	size_t *option = NULL, cap = 0;
	uint64_t n;

	for (pick = 0; pick <= items; pick++) {
		if (!sim_crash_new_size(c, file, pick))
			continue;
		file->pick = pick;
		n = count_sectors(c, file, UINT32_MAX);
		if (choice < n)
			break;
		choice -= n;
	}
	for (i = file->first; i < file->first + file->units; i++) {
		option = sim_grow(option, &cap, c->sector[i].versions + 1,
				  sizeof(*option));
		n = sim_crash_options(c, file, &c->sector[i], option);
		c->sector[i].pick = option[choice % n];
		choice /= n;
	}
	free(option);
}

static bool choose_subset(struct sim_crash *c, uint64_t choice)
{
	bool found = false;
	uint64_t n;
	size_t i;

	sim_crash_pick_prefix(c, 0, false);
	if (too_many_names(c))
		return false;
	do {
		if (!sim_follow_names_closed(&c->follow))
			continue;
		n = count_files(c, UINT32_MAX);
		found = choice < n;
		choice -= found ? 0 : n;
	} while (!found && next_names(c));
	if (!found)
		return false;
	for (i = 0; i < c->files; i++) {
		struct sim_file_unit *file = &c->file[i];

		if (!file->reachable)
			continue;
		n = count_file(c, file, UINT32_MAX);
		choose_file(c, file, choice % n);
		choice /= n;
	}
	return true;
}

/* ---- by chance ---- */

static size_t random_of(uint64_t *rng, size_t n)
{
	return (size_t)(sim_next(rng) % n);
}

static bool is_store(struct sim_crash *c, const struct sim_file_unit *file,
		     const struct sim_sector_unit *unit)
{
	const struct sim_pending *p = sim_crash_pending(c, file->node);
	size_t item = c->version[unit->first + unit->pick - 1];

	return c->follow.sim->journal.entry[p->item[item].entry].store;
}

/* Mostly nothing, mostly all, or even chances: each finds other mistakes. */
static void random_file(struct sim_crash *c, struct sim_file_unit *file, uint64_t *rng)
{
	size_t items = sim_crash_pending(c, file->node)->items, i;
	size_t *option = NULL, cap = 0, n, kept = 1 + random_of(rng, 8);

	file->pick = random_of(rng, 2) ? items : random_of(rng, items + 1);
	for (i = file->first; i < file->first + file->units; i++) {
		struct sim_sector_unit *unit = &c->sector[i];

		option = sim_grow(option, &cap, unit->versions + 1, sizeof(*option));
		n = sim_crash_options(c, file, unit, option);
		unit->pick = random_of(rng, 9) < kept ? option[n - 1]
						      : option[random_of(rng, n)];
		if (!unit->pick || !is_store(c, file, unit) || random_of(rng, 4))
			continue;
		if (random_of(rng, 2))
			unit->to = 8 + 8 * (uint32_t)random_of(rng, SIM_SECTOR / 8 - 1);
		else
			unit->from = 8 + 8 * (uint32_t)random_of(rng, SIM_SECTOR / 8 - 1);
	}
	free(option);
}

static void choose_random(struct sim_crash *c, uint64_t choice)
{
	uint64_t rng = choice;
	size_t i;

	sim_crash_pick_prefix(c, 0, false);
	for (i = 0; i < c->dirs; i++) {
		struct sim_pending *p = sim_crash_pending(c, c->dir[i]);

		p->take = random_of(&rng, 2) ? p->names : random_of(&rng, p->names + 1);
	}
	sim_follow_close_names(&c->follow);
	for (i = 0; i < c->files; i++)
		random_file(c, &c->file[i], &rng);
}

/* ---- all of them ---- */

bool sim_crash_choose(struct sim_crash *c, const struct env_sim_point *p)
{
	switch (p->loss) {
	case SIM_LOSE_ALL:
		sim_crash_pick_prefix(c, 0, false);
		return true;
	case SIM_LOSE_NONE:
		sim_crash_pick_prefix(c, c->follow.at, true);
		return true;
	case SIM_ZEROS:
		sim_crash_pick_prefix(c, c->follow.at, false);
		return true;
	case SIM_PREFIX:
		return choose_prefix(c, p->choice);
	case SIM_TORN:
		return choose_torn(c, p->choice);
	case SIM_SUBSET:
		return choose_subset(c, p->choice);
	case SIM_RANDOM:
		choose_random(c, p->choice);
		return true;
	}
	return false;
}

bool sim_crash_has_stores(const struct sim_crash *c)
{
	size_t i, k;

	for (i = 0; i < c->files; i++) {
		const struct sim_pending *p = &c->follow.pending[c->file[i].node];

		for (k = 0; k < p->items; k++)
			if (c->follow.sim->journal.entry[p->item[k].entry].store)
				return true;
	}
	return false;
}
