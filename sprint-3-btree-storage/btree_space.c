/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_space.c - which numbers of the file are free, and how one gets some.
 *
 * A bit a page says whether the number is used. Numbers that are free while their old bytes
 * are still in memory stand in a list as well and are given out first, because they cost no
 * memory; unless most of the file is free, when the lowest are, so that its end becomes free
 * and can be cut off. All numbers of the file have their blocks on disk, since the file was
 * grown by them: who has a number can write it.
 */
#include "btree_pager_internal.h"

/* ---- lists of numbers ---- */

void btree_list_push(struct btree_pager_space *s, struct btree_list *l, uint32_t page)
{
	struct btree_freed *f = &s->freed[page];

	f->next = 0;
	f->prev = l->tail;
	if (l->tail)
		s->freed[l->tail].next = page;
	else
		l->head = page;
	l->tail = page;
}

void btree_list_remove(struct btree_pager_space *s, struct btree_list *l, uint32_t page)
{
	struct btree_freed *f = &s->freed[page];

	if (f->prev)
		s->freed[f->prev].next = f->next;
	else
		l->head = f->next;
	if (f->next)
		s->freed[f->next].prev = f->prev;
	else
		l->tail = f->prev;
	f->freed = 0;
}

void btree_list_splice(struct btree_pager_space *s, struct btree_list *l,
		       struct btree_list *from)
{
	if (!from->head)
		return;
	s->freed[from->head].prev = l->tail;
	if (l->tail)
		s->freed[l->tail].next = from->head;
	else
		l->head = from->head;
	l->tail = from->tail;
	*from = (struct btree_list){ 0, 0 };
}

/* ---- bits ---- */

void btree_space_put(struct btree_pager_space *s, uint32_t page, bool resident)
{
	btree_bit_clear(s->used, page);
	s->free++;
	if (page < s->low)
		s->low = page;
	if (!resident)
		return;
	s->freed[page].freed = BTREE_FREE_RESIDENT;
	btree_list_push(s, &s->resident, page);
}

static void take(struct btree_pager_space *s, uint32_t page)
{
	if (s->freed[page].freed)
		btree_list_remove(s, &s->resident, page);
	btree_bit_set(s->used, page);
	s->free--;
}

void btree_space_put_run(struct btree_pager_space *s, struct btree_run run)
{
	uint32_t i;

	for (i = 0; i < run.n; i++)
		btree_space_put(s, run.page + i, false);
}

/* The first number from here on whose bit in used is v; pages when there is none. */
static uint32_t next_with(const struct btree_pager_space *s, uint32_t page, bool v)
{
	while (page < s->pages) {
		uint64_t w = s->used[page / 64];

		w = (v ? w : ~w) >> page % 64;
		if (w) {
			page += (uint32_t)__builtin_ctzll(w);
			break;
		}
		page = (page / 64 + 1) * 64;
	}
	return page < s->pages ? page : s->pages;
}

struct btree_run btree_space_take_run(struct btree_pager_space *s, uint32_t n)
{
	uint32_t at = next_with(s, s->low, false), end, i;

	s->low = at;
	while (at < s->pages) {
		end = next_with(s, at, true);
		if (end - at >= n) {
			for (i = 0; i < n; i++)
				take(s, at + i);
			return (struct btree_run){ at, n };
		}
		at = next_with(s, end, false);
	}
	return (struct btree_run){ 0, 0 };
}

/* There is one: it was reserved. */
static uint32_t take_one(struct btree_pager_space *s)
{
	uint32_t page = s->resident.head;

	if (!page || s->free > s->pages / 2) {
		page = next_with(s, s->low, false);
		s->low = page + 1;
	}
	take(s, page);
	btree_bit_set(s->live, page);
	return page;
}

uint32_t btree_space_pop_resident(struct btree_pager_space *s)
{
	uint32_t page;

	port_mutex_lock(&s->lock);
	page = s->resident.head;
	if (page)
		btree_list_remove(s, &s->resident, page);
	port_mutex_unlock(&s->lock);
	return page;
}

/* ---- places for the free map ----
 *
 * The durable checkpoint has its map in one place, and the next is written to another. Every
 * growth of the file leaves two spare places that are large enough for its new size. A
 * checkpoint takes one; when it is durable, the place of the map before becomes a spare if it
 * is large enough, and else free. So while the file does not grow, large places go round and
 * none is lost; and after it has grown, two checkpoints can be made with places from before,
 * by which time only large ones are left. A full disk never keeps a checkpoint from its map.
 */
void btree_space_fill_spares(struct btree_pager *p)
{
	struct btree_pager_space *s = p->space;
	uint32_t need = btree_map_pages(p, s->pages);
	unsigned int i;

	for (i = 0; i < BTREE_MAP_SPARES; i++) {
		struct btree_run old = s->map_spare[i], run;

		if (old.n >= need)
			continue;
		run = btree_space_take_run(s, need);
		if (!run.n)
			continue;
		s->map_spare[i] = run;
		btree_space_put_run(s, old);
	}
}

void btree_space_grown(struct btree_pager *p, uint32_t pages)
{
	struct btree_pager_space *s = p->space;

	s->free += pages - s->pages;
	port_store_release(&s->pages, pages);
	btree_space_fill_spares(p);
}

/* Moved to the file's beginning where that is possible, so that its end can be cut off. */
static void lower_spares(struct btree_pager_space *s)
{
	unsigned int i;

	for (i = 0; i < BTREE_MAP_SPARES; i++) {
		struct btree_run old = s->map_spare[i];

		if (!old.n)
			continue;
		btree_space_put_run(s, old);
		s->map_spare[i] = btree_space_take_run(s, old.n);
	}
}

/* ---- the file's end ---- */

/* Behind it no bit is set. */
static uint32_t end_of(const struct btree_pager_space *s, const uint64_t *bits)
{
	uint32_t page = s->pages;

	while (page && !btree_bit(bits, page - 1))
		page--;
	return page;
}

static uint32_t with_reserve(const struct btree_pager *p, uint32_t page)
{
	uint32_t unit = p->io->unit_pages, pages = p->space->pages;
	uint64_t end = ((uint64_t)page + BTREE_RESERVE_PAGES + unit - 1) / unit * unit;

	return end < pages ? (uint32_t)end : pages;
}

uint32_t btree_space_end(const struct btree_pager *p, struct btree_run map)
{
	const struct btree_pager_space *s = p->space;
	uint32_t end = end_of(s, s->live), i;

	if (end < map.page + map.n)
		end = map.page + map.n;
	for (i = 0; i < BTREE_MAP_SPARES; i++)
		if (end < s->map_spare[i].page + s->map_spare[i].n)
			end = s->map_spare[i].page + s->map_spare[i].n;
	return with_reserve(p, end);
}

void btree_space_trim(struct btree_pager *p)
{
	struct btree_pager_space *s = p->space;
	uint64_t chunk;
	uint32_t end, i;

	port_mutex_lock(&s->lock);
	s->trim = false;
	btree_space_unreserve(s);
	lower_spares(s);
	end = with_reserve(p, end_of(s, s->used));
	if (end < s->durable_pages)
		end = s->durable_pages;
	if (end < s->ahead_kept)
		end = s->ahead_kept;
	chunk = btree_offset(p, s->pages) / 8;
	chunk = chunk < BTREE_IO_BYTES ? BTREE_IO_BYTES : chunk;
	if (end >= s->pages || btree_offset(p, s->pages - end) < chunk)
		goto out;
	for (i = end; i < s->pages; i++)
		if (s->freed[i].freed)
			btree_list_remove(s, &s->resident, i);
	s->free -= s->pages - end;
	/* From here on nobody fetches them. */
	port_store_release(&s->pages, end);
	if (s->low > end)
		s->low = end;
	port_mutex_unlock(&s->lock);
	btree_pager_shrink(p, end);
	return;
out:
	port_mutex_unlock(&s->lock);
}

/* ---- the writer's ---- */

void btree_space_unreserve(struct btree_pager_space *s)
{
	btree_space_put_run(s, s->reserved);
	s->reserved = (struct btree_run){ 0, 0 };
}

/* Whether there is enough in the file as it is; takes the run. */
static bool reserve_here(struct btree_pager_space *s, uint64_t n, uint32_t run,
			 uint32_t margin)
{
	btree_space_unreserve(s);
	if (s->free < n + run + margin)
		return false;
	if (!run)
		return true;
	s->reserved = btree_space_take_run(s, run);
	return s->reserved.n;
}

static bool reserve(struct btree_pager *p, uint32_t n, uint32_t run, uint32_t margin)
{
	bool enough;

	port_mutex_lock(&p->space->lock);
	enough = reserve_here(p->space, n, run, margin);
	port_mutex_unlock(&p->space->lock);
	return enough;
}

int btree_pages_reserve(struct btree_pager *p, uint32_t n, uint32_t run, bool urgent)
{
	uint64_t need = (uint64_t)n + run + BTREE_RESERVE_PAGES;
	struct kv_msg why;
	int error = port_load_acquire(&p->io->failed);

	if (error)
		return error;
	if (!reserve(p, n, run, BTREE_RESERVE_PAGES)) {
		error = need < UINT32_MAX ? btree_pager_grow(p, (uint32_t)need)
					  : btree_pager_refuse(p, -ENOSPC,
							       "no file is large enough");
		if (!error && !reserve(p, n, run, BTREE_RESERVE_PAGES))
			error = btree_pager_refuse(p, -ENOSPC, "no room in one piece");
		/* Memory for growth may be short as well as the disk. */
		if (error && urgent && reserve(p, n, run, 0))
			error = 0;
		if (error)
			return error;
	}
	error = btree_make_room(p, (uint64_t)n + run, true, &why);
	return error ? btree_pager_refuse(p, error, why.text) : 0;
}

/* Memory for it, with the header that every page has. A reader that follows a stale parent
 * may have it locked at the moment: it is fetching, or evicting, what was there before. */
static void make_page(struct btree_pager *p, uint32_t page, uint64_t birth)
{
	struct btree_page_header *h = btree_page(p, page);
	uint64_t before = btree_page_acquire(p, page);

	if (!(before & BTREE_RESIDENT))
		btree_unit_enter(p, page);
	if (!(before & BTREE_DIRTY))
		(void)port_fetch_add(&p->io->dirty, (uint64_t)1);
	*h = (struct btree_page_header){ .page = page, .birth = birth };
	(void)port_fetch_add(&p->state[page], BTREE_PIN);
	(void)btree_page_release(p, page, BTREE_MARKED | BTREE_CRC_KNOWN,
				 BTREE_RESIDENT | BTREE_DIRTY, true);
}

uint32_t btree_page_new(struct btree_pager *p, uint64_t birth)
{
	uint32_t page;

	port_mutex_lock(&p->space->lock);
	page = take_one(p->space);
	port_mutex_unlock(&p->space->lock);
	make_page(p, page, birth);
	return page;
}

uint32_t btree_run_new(struct btree_pager *p, uint32_t n, uint64_t birth)
{
	struct btree_pager_space *s = p->space;
	uint32_t page, i;

	port_mutex_lock(&s->lock);
	page = s->reserved.page;
	for (i = 0; i < n; i++)
		btree_bit_set(s->live, page + i);
	s->reserved.page += n;
	s->reserved.n -= n;
	btree_space_unreserve(s);
	port_mutex_unlock(&s->lock);
	for (i = 0; i < n; i++)
		make_page(p, page + i, birth);
	return page;
}

/* ---- looking ---- */

uint32_t btree_pager_pages(struct btree_pager *p)
{
	return port_load_acquire(&p->space->pages);
}

static bool in_run(struct btree_run run, uint32_t page)
{
	return page >= run.page && page - run.page < run.n;
}

static bool is_map(const struct btree_pager_space *s, uint32_t page)
{
	return in_run(s->map_durable, page) || in_run(s->map_running, page) ||
	       in_run(s->map_spare[0], page) || in_run(s->map_spare[1], page);
}

bool btree_page_is_map(struct btree_pager *p, uint32_t page)
{
	bool yes;

	port_mutex_lock(&p->space->lock);
	yes = is_map(p->space, page);
	port_mutex_unlock(&p->space->lock);
	return yes;
}

bool btree_space_is_dropped(struct btree_pager_space *s, uint32_t page, uint64_t birth)
{
	bool yes;

	port_mutex_lock(&s->lock);
	yes = !btree_bit(s->live, page) && !(s->running && birth <= s->running);
	port_mutex_unlock(&s->lock);
	return yes;
}

bool btree_page_in_use(struct btree_pager *p, uint32_t page)
{
	struct btree_pager_space *s = p->space;
	bool yes;

	port_mutex_lock(&s->lock);
	yes = page < s->pages && (btree_bit(s->live, page) || is_map(s, page));
	port_mutex_unlock(&s->lock);
	return yes;
}
