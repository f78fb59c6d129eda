/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_view.c - what a reader looks at: the memtables and the version as of one moment.
 *
 * A view that was replaced is retired by its epoch: readers who look at it within one need no
 * reference. Cursors take one, which keeps it, its memtables and its version's files.
 */
#include "lsm_store.h"

enum { AHEAD = 4 }; /* the next memtable is made when a fourth of one is full */

/* ---- memtables ---- */

static struct lsm_mem *mem_new(struct lsm_store *s)
{
	struct lsm_mem *m = port_alloc(sizeof(*m));

	if (!m)
		return NULL;
	*m = (struct lsm_mem){ .store = s, .references = 1 };
	if (lsm_memtable_new(s->memory, s->memtable_bytes, &m->table)) {
		port_free(m);
		return NULL;
	}
	return m;
}

static void mem_unref(struct lsm_mem *m)
{
	if (port_fetch_add(&m->references, (uint32_t)-1) != 1)
		return;
	lsm_memtable_free(m->table);
	port_free(m);
}

/* ---- views ---- */

static void view_free(struct lsm_view *v)
{
	unsigned int i;

	for (i = 0; i < v->mems; i++)
		mem_unref(v->mem[i]);
	if (v->version)
		lsm_version_unref(v->version);
	port_free(v);
}

void lsm_view_drop(struct lsm_view *v)
{
	if (port_fetch_add(&v->references, (uint32_t)-1) == 1)
		view_free(v);
}

/* The store may have nothing else to do, and who waits for space no way to make it. */
void lsm_view_leave(struct lsm_view *v)
{
	struct lsm_store *s = v->store;

	lsm_view_drop(v);
	if (lsm_versions_are_over(s->versions))
		lsm_background_wake(s);
}

static void view_retired(struct epoch_item *item)
{
	lsm_view_drop(container_of(item, struct lsm_view, item));
}

static struct lsm_view *view_new(struct lsm_store *s)
{
	struct lsm_view *v = port_alloc(sizeof(*v));

	if (v)
		*v = (struct lsm_view){ .store = s, .references = 1 };
	return v;
}

static void view_add_mem(struct lsm_view *v, struct lsm_mem *m)
{
	(void)port_fetch_add(&m->references, 1u);
	v->mem[v->mems++] = m;
}

static void view_set_version(struct lsm_view *v, struct lsm_version *version)
{
	lsm_version_ref(version);
	v->version = version;
}

/* Under view_lock: v takes the current one's place. */
static void publish(struct lsm_store *s, struct lsm_view *v)
{
	struct lsm_view *old = s->view;

	port_store_release(&s->view, v);
	if (!old)
		return;
	old->next = s->old_view;
	s->old_view = old;
}

bool lsm_view_sweep(struct lsm_store *s)
{
	struct lsm_view *v, *next;

	port_mutex_lock(&s->view_lock);
	v = s->old_view;
	s->old_view = NULL;
	port_mutex_unlock(&s->view_lock);
	for (; v; v = next) {
		next = v->next;
		v->item.free = view_retired;
		epoch_retire(s->epoch, &v->item);
	}
	return epoch_collect(s->epoch);
}

/* ---- for readers ---- */

const struct lsm_view *lsm_view_look(struct lsm_store *s, uint64_t *sequence)
{
	struct lsm_view *v = port_load_acquire(&s->view), *again;

	/* The sequence must be one of the time when the view was current: of an older one the
	 * tables may have dropped versions, a newer one may be in a memtable that it has not. */
	for (;;) {
		*sequence = port_load_acquire(&s->visible);
		again = port_load_acquire(&s->view);
		if (again == v)
			return v;
		v = again;
	}
}

struct lsm_view *lsm_view_take(struct lsm_store *s, uint64_t *sequence)
{
	unsigned int slot = epoch_enter(s->epoch);
	struct lsm_view *v = (struct lsm_view *)lsm_view_look(s, sequence);

	(void)port_fetch_add(&v->references, 1u);
	epoch_leave(s->epoch, slot);
	return v;
}

/* ---- what changes it ---- */

/* What open tables hold of memory is the block cache's loss: the sum stays what it was. */
static void fit_cache(struct lsm_store *s, const struct lsm_version *version)
{
	uint64_t held = 0;
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++)
		for (r = 0; r < version->level[level].runs; r++) {
			const struct lsm_run *run = &version->level[level].run[r];

			for (t = 0; t < run->tables; t++)
				held += sst_pinned_bytes(run->table[t]->sst) +
					sizeof(struct lsm_table);
		}
	lsm_cache_resize(s->cache, s->cache_bytes > held ? s->cache_bytes - held : 0);
}

int lsm_view_begin(struct lsm_store *s, uint64_t position)
{
	struct lsm_version *version = lsm_versions_current(s->versions);
	struct lsm_view *v = view_new(s);
	struct lsm_mem *m = mem_new(s);

	if (v && m) {
		m->begin = m->end = position;
		view_add_mem(v, m);
		view_set_version(v, version);
		fit_cache(s, version);
		s->active = m;
		port_store_release(&s->view, v);
	} else {
		port_free(v);
	}
	if (m)
		mem_unref(m);
	lsm_version_unref(version);
	return v && m ? 0 : -ENOMEM;
}

static void free_list(struct lsm_view *v)
{
	struct lsm_view *next;

	for (; v; v = next) {
		next = v->next;
		view_free(v);
	}
}

void lsm_view_end(struct lsm_store *s)
{
	if (s->epoch)
		(void)epoch_collect(s->epoch);
	free_list(s->spare_view);
	free_list(s->old_view);
	if (s->view)
		lsm_view_drop(s->view);
	if (s->spare_mem)
		mem_unref(s->spare_mem);
	s->spare_view = s->old_view = s->view = NULL;
	s->spare_mem = NULL;
}

int lsm_view_prepare(struct lsm_store *s)
{
	struct lsm_view *v = view_new(s);

	if (!v)
		return -ENOMEM;
	port_mutex_lock(&s->view_lock);
	v->next = s->spare_view;
	s->spare_view = v;
	port_mutex_unlock(&s->view_lock);
	return 0;
}

/* Under view_lock. */
static struct lsm_view *take_spare(struct lsm_store *s)
{
	struct lsm_view *v = s->spare_view;

	s->spare_view = v->next;
	v->next = NULL;
	return v;
}

void lsm_view_unprepare(struct lsm_store *s)
{
	struct lsm_view *v;

	port_mutex_lock(&s->view_lock);
	v = take_spare(s);
	port_mutex_unlock(&s->view_lock);
	view_free(v);
}

bool lsm_mem_is_worth_next(const struct lsm_store *s, const struct lsm_mem *m)
{
	return lsm_memtable_bytes(m->table) >= s->memtable_bytes / AHEAD;
}

void lsm_view_make_ahead(struct lsm_store *s)
{
	struct lsm_mem *m;
	bool wanted;

	port_mutex_lock(&s->view_lock);
	wanted = !s->spare_mem && s->view->mems < s->option[LSM_MEMTABLE_COUNT] &&
		 lsm_mem_is_worth_next(s, s->view->mem[0]);
	port_mutex_unlock(&s->view_lock);
	m = wanted ? mem_new(s) : NULL;
	if (!m)
		return;
	/* What can't be had now, the writer takes when it needs it. */
	(void)lsm_memtable_prepare(m->table, s->memtable_bytes);
	port_mutex_lock(&s->view_lock);
	if (!s->spare_mem) {
		s->spare_mem = m;
		m = NULL;
	}
	port_mutex_unlock(&s->view_lock);
	if (m)
		mem_unref(m);
}

int lsm_view_switch(struct lsm_store *s, uint64_t position)
{
	struct lsm_view *v = NULL, *now;
	struct lsm_mem *m = NULL;
	unsigned int i;
	int error = 0;

	port_mutex_lock(&s->view_lock);
	now = s->view;
	if (now->mems >= s->option[LSM_MEMTABLE_COUNT]) {
		error = -EAGAIN;
		goto out;
	}
	v = view_new(s);
	m = s->spare_mem ? s->spare_mem : mem_new(s);
	s->spare_mem = NULL;
	if (!v || !m) {
		s->spare_mem = m;
		port_free(v);
		error = -ENOMEM;
		goto out;
	}
	m->begin = m->end = position;
	view_add_mem(v, m);
	for (i = 0; i < now->mems; i++)
		view_add_mem(v, now->mem[i]);
	view_set_version(v, now->version);
	s->active = m;
	publish(s, v);
	mem_unref(m); /* the view has it */
out:
	port_mutex_unlock(&s->view_lock);
	lsm_background_wake(s);
	return error;
}

void lsm_view_install(void *arg, struct lsm_version *version)
{
	struct lsm_store *s = arg;
	struct lsm_view *v;
	unsigned int i;

	if (!port_load_acquire(&s->view)) /* opening */
		return;
	fit_cache(s, version);
	port_mutex_lock(&s->view_lock);
	v = take_spare(s);
	for (i = 0; i < s->view->mems; i++)
		view_add_mem(v, s->view->mem[i]);
	view_set_version(v, version);
	publish(s, v);
	port_mutex_unlock(&s->view_lock);
}

void lsm_view_flushed(struct lsm_store *s, struct lsm_mem *m)
{
	struct lsm_view *v;
	unsigned int i;

	port_mutex_lock(&s->view_lock);
	v = take_spare(s);
	for (i = 0; i < s->view->mems; i++)
		if (s->view->mem[i] != m)
			view_add_mem(v, s->view->mem[i]);
	view_set_version(v, s->view->version);
	publish(s, v);
	port_mutex_unlock(&s->view_lock);
	(void)lsm_view_sweep(s);
}

struct lsm_mem *lsm_view_oldest(struct lsm_store *s)
{
	struct lsm_mem *m = NULL;

	port_mutex_lock(&s->view_lock);
	if (s->view->mems > 1)
		m = s->view->mem[s->view->mems - 1];
	port_mutex_unlock(&s->view_lock);
	return m;
}

unsigned int lsm_view_mems(struct lsm_store *s)
{
	unsigned int n;

	port_mutex_lock(&s->view_lock);
	n = s->view->mems;
	port_mutex_unlock(&s->view_lock);
	return n;
}

bool lsm_view_is_flushed(struct lsm_store *s, uint64_t position)
{
	bool flushed;

	port_mutex_lock(&s->view_lock);
	flushed = s->view->mem[s->view->mems - 1]->begin >= position;
	port_mutex_unlock(&s->view_lock);
	return flushed;
}

void lsm_view_begin_at(struct lsm_store *s, uint64_t position)
{
	port_mutex_lock(&s->view_lock);
	s->active->begin = position;
	port_mutex_unlock(&s->view_lock);
}
