/* SPDX-License-Identifier: MIT */
/*
 * env_sim.c - a simulator's life, its faults and its journal.
 */
#include "env_sim_internal.h"

/* ---- life ---- */

struct env_sim *sim_new(const struct env_sim_config *c)
{
	struct env_sim *sim = sim_alloc(sizeof(*sim));
	uint64_t seed;

	if (c)
		sim->config = *c;
	if (!sim->config.capacity_bytes)
		sim->config.capacity_bytes = 1ull << 40;
	seed = sim->config.seed;
	sim->env.ops = &sim_env_ops;
	/* Streams of their own: one more switch must not change the ids that are drawn. */
	sim->random = sim_next(&seed);
	sim->place = sim_next(&seed);
	sim->schedule.rng = sim_next(&seed);
	sim->origin = sim_strdup("");
	sim_schedule_init(sim);
	return sim;
}

struct env_sim *env_sim_new(const struct env_sim_config *c)
{
	struct env_sim *sim = sim_new(c);

	(void)sim_disk_add(&sim->disk, true, "");
	(void)sim_disk_add(&sim->base, true, "");
	sim->disk.node[SIM_ROOT]->names = sim->base.node[SIM_ROOT]->names = 1;
	return sim;
}

struct env *env_sim_env(struct env_sim *sim)
{
	return &sim->env;
}

static void journal_free(struct sim_journal *j)
{
	while (j->n) {
		struct sim_entry *e = &j->entry[--j->n];

		free(e->data);
		free(e->name);
		free(e->to_name);
	}
	free(j->entry);
}

void env_sim_free(struct env_sim *sim)
{
	if (!sim)
		return;
	if (sim->live)
		sim_die("%u files, maps, locks, conditions or tasks are still in use "
			"where the simulator ends: close what the test opened",
			sim->live);
	sim_schedule_free(sim);
	journal_free(&sim->journal);
	sim_disk_free(&sim->base);
	sim_disk_free(&sim->disk);
	free(sim->origin);
	free(sim->failed);
	free(sim);
}

unsigned int env_sim_live(struct env_sim *sim)
{
	return sim->live;
}

size_t env_sim_position(struct env_sim *sim)
{
	sim_check_thread(sim);
	sim_absorb_all(sim);
	return sim->journal.n;
}

uint64_t env_sim_trace(struct env_sim *sim)
{
	return sim->trace;
}

const char *env_sim_origin(struct env_sim *sim)
{
	return sim->origin;
}

unsigned int env_sim_depth(struct env_sim *sim)
{
	return sim->depth;
}

void env_sim_set_capacity(struct env_sim *sim, uint64_t bytes)
{
	sim->config.capacity_bytes = bytes;
}

/* ---- faults ---- */

void env_sim_fault(struct env_sim *sim, const struct env_sim_fault *f)
{
	struct sim_faults *now = &sim->faults;

	now->set = f != NULL;
	now->fired = false;
	now->seen = 0;
	if (!f)
		return;
	now->now = *f;
	if (!f->error)
		now->now.error = -EIO;
	if (!f->nth || now->now.error > 0)
		sim_die("a fault wants an nth from 1 and a negative errno, not %llu, %d",
			(unsigned long long)f->nth, f->error);
}

bool env_sim_fault_fired(struct env_sim *sim)
{
	return sim->faults.fired;
}

uint64_t env_sim_calls(struct env_sim *sim, unsigned int calls)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < SIM_CALLS; i++)
		n += calls & 1u << i ? sim->faults.calls[i] : 0;
	return n;
}

static bool fault_fires(struct sim_faults *f, enum env_sim_call call, const char *path)
{
	if (!f->set || !(f->now.calls & 1u << call))
		return false;
	if (f->now.path && !strstr(path, f->now.path))
		return false;
	f->seen++;
	if (f->seen < f->now.nth || (f->seen > f->now.nth && !f->now.for_good))
		return false;
	f->fired = true;
	return true;
}

/* What the device does to this call, in the words of sim_enter(). */
static int fault_error(const struct env_sim_fault *f, enum env_sim_call call,
		       enum env_sim_effect *effect)
{
	if (!effect)
		return f->error;
	switch (f->effect) {
	case SIM_SHORT:
		*effect = call == SIM_READ || call == SIM_WRITE ? SIM_SHORT : SIM_FAIL;
		return *effect == SIM_SHORT && call == SIM_READ ? 0 : f->error;
	case SIM_LOSE:
		*effect = call == SIM_WRITE || call == SIM_SYNC ? SIM_LOSE : SIM_FAIL;
		return *effect == SIM_LOSE ? 0 : f->error;
	case SIM_MISDIRECT:
		*effect = call == SIM_WRITE ? SIM_MISDIRECT : SIM_FAIL;
		return *effect == SIM_MISDIRECT ? 0 : f->error;
	case SIM_DROP:
		*effect = call == SIM_SYNC ? SIM_DROP : SIM_FAIL;
		return f->error;
	case SIM_FAIL:
		break;
	}
	return f->error;
}

static bool changes_the_disk(enum env_sim_call call)
{
	return call != SIM_READ && call != SIM_SIZE && call != SIM_MAP &&
	       call != SIM_LIST && call != SIM_SPACE && call != SIM_SPAWN;
}

int sim_enter(struct env_sim *sim, enum env_sim_call call, const char *path,
	      enum env_sim_effect *effect)
{
	if (effect)
		*effect = SIM_FAIL;
	sim_check_thread(sim);
	sim_preempt(sim);
	sim_advance(sim, call == SIM_SYNC || call == SIM_SYNC_DIR ? 100000 : 1000);
	sim_note(sim, call);
	if (changes_the_disk(call) && !sim->config.no_journal)
		sim_absorb_all(sim);
	sim->faults.calls[call]++;
	if (!fault_fires(&sim->faults, call, path))
		return 0;
	return fault_error(&sim->faults.now, call, effect);
}

int env_sim_flip(struct env_sim *sim, const char *path, uint64_t offset, uint8_t mask)
{
	struct sim_node *node;
	uint64_t before;
	uint8_t byte;
	int error = sim_disk_find(&sim->disk, path, &node);

	if (error)
		return error;
	if (node->is_dir || offset >= node->data.size)
		return -EINVAL;
	sim_absorb_all(sim);
	before = node->data.blocks;
	sim_data_load(&node->data, offset, &byte, 1);
	byte ^= mask;
	sim_data_store(&node->data, offset, &byte, 1);
	sim_account(sim, node, before);
	sim_map_refresh(node, offset, 1);
	if (!sim->config.no_journal) {
		struct sim_entry *e = sim_journal_add(sim, SIM_POKE, node);

		e->sector = offset;
		e->data = sim_alloc(1);
		*e->data = mask;
		/* And what was yet to be written of the sector is no better. */
		sim_journal_data(sim, node, offset, 1, false);
	}
	return 0;
}

/* ---- journal ---- */

struct sim_entry *sim_journal_add(struct env_sim *sim, enum sim_change change,
				  const struct sim_node *node)
{
	struct sim_journal *j = &sim->journal;
	struct sim_entry *e;

	sim_note(sim, (uint64_t)change << 32 | node->id);
	if (sim->config.no_journal)
		return NULL;
	j->entry = sim_grow(j->entry, &j->cap, j->n + 1, sizeof(*j->entry));
	e = &j->entry[j->n++];
	*e = (struct sim_entry){
		.change = change,
		.node = node->id,
		.size = node->data.size,
	};
	return e;
}

void sim_journal_data(struct env_sim *sim, const struct sim_node *node, uint64_t offset,
		      uint64_t len, bool store)
{
	uint64_t first = offset / SIM_SECTOR;
	uint64_t sectors = (offset + len + SIM_SECTOR - 1) / SIM_SECTOR - first;
	struct sim_entry *e = sim_journal_add(sim, SIM_DATA, node);

	sim_note(sim, first << 20 | sectors);
	if (!e)
		return;
	e->store = store;
	e->sector = first;
	e->sectors = (uint32_t)sectors;
	e->data = malloc((size_t)sectors * SIM_SECTOR);
	if (!e->data)
		sim_die("no memory for a write of %llu bytes in the journal",
			(unsigned long long)len);
	sim_data_load(&node->data, first * SIM_SECTOR, e->data,
		      (size_t)sectors * SIM_SECTOR);
}

void sim_journal_name(struct env_sim *sim, enum sim_change change,
		      const struct sim_node *dir, const char *name,
		      const struct sim_node *child)
{
	struct sim_entry *e = sim_journal_add(sim, change, dir);

	if (!e)
		return;
	e->name = sim_strdup(name);
	e->child = child->id;
	e->is_dir = child->is_dir;
}
