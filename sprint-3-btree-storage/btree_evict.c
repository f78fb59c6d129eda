/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_evict.c - keeps the pages in memory within the budget, by CLOCK.
 *
 * A hand goes round over the states of all pages. What it finds unmarked it marks; readers
 * take the mark off; what is still marked the next time round was not read since, and goes
 * (Corbató, "A Paging Experiment with the Multics System", 1968). A reader pays for one store
 * a round, not for one a look.
 *
 * What may go: clean pages, and dirty leaves and overflow pages, which are written to their
 * own place first: no durable checkpoint reaches that number, for a page that one reaches is
 * never changed. Dirty inner nodes stay, because they would be written without their
 * children's checksums, and they are few; but not those that the tree has dropped.
 *
 * So changed inner nodes and pinned pages can fill the budget, until a checkpoint is written.
 * Writers are refused then; readers have a quarter more, so that they get on meanwhile.
 *
 * Memory is given back in pages of the machine, which may be larger than the store's: 16 KiB
 * on a Raspberry Pi 5. So budget and victims are counted in units, the larger of both.
 */
#include "btree_pager_internal.h"

enum {
	BATCH_PAGES = 64,    /* victims at a time; a unit has at most 16 */
	PATIENCE = 200,      /* times that nothing can go before that is an error */
	PATIENCE_WRITER = 5, /* who can have a checkpoint written instead */
	PATIENCE_NS = 1000000,
};

struct batch {
	uint32_t page[BATCH_PAGES];  /* locked, ascending within a sweep; whole units */
	uint64_t state[BATCH_PAGES]; /* before */
	unsigned int n;
};

/* ---- counting ---- */

void btree_unit_enter(struct btree_pager *p, uint32_t page)
{
	struct btree_pager_io *io = p->io;

	if (!io->unit_resident ||
	    !port_fetch_add(&io->unit_resident[page / io->unit_pages], (uint8_t)1))
		(void)port_fetch_add(&io->resident, (uint64_t)1);
}

void btree_unit_leave(struct btree_pager *p, uint32_t page)
{
	struct btree_pager_io *io = p->io;

	if (!io->unit_resident ||
	    port_fetch_add(&io->unit_resident[page / io->unit_pages], (uint8_t)-1) == 1)
		(void)port_fetch_add(&io->resident, (uint64_t)-1);
}

/* ---- choosing ---- */

/* A changed inner node that some checkpoint is to write. What only snapshots need is written by
 * none: it may go, though its children's checksums are not known. */
static bool is_dirty_inner(struct btree_pager *p, uint32_t page, uint64_t s)
{
	const struct btree_page_header *h = btree_page(p, page);

	return (s & BTREE_DIRTY) && h->level > 0 &&
	       !btree_space_is_dropped(p->space, page, h->birth);
}

static void unlock_since(struct btree_pager *p, struct batch *b, unsigned int n)
{
	while (b->n > n)
		(void)btree_page_release(p, b->page[--b->n], 0, 0, false);
}

/* Whether the unit's pages are all marked, and none is pinned or in hand; marks those that
 * are not. */
static bool is_due(struct btree_pager *p, uint32_t first, bool latched)
{
	uint32_t i, n = p->io->unit_pages;
	bool due = false, stays = false;

	for (i = first; i < first + n; i++) {
		uint64_t s = port_load_acquire(&p->state[i]);

		if (!(s & (BTREE_RESIDENT | BTREE_LOCKED)))
			continue;
		if (s & (BTREE_LOCKED | BTREE_PINS) || (latched && (s & BTREE_DIRTY)))
			return false;
		if (!(s & BTREE_MARKED)) {
			(void)port_cas(&p->state[i], &s, s | BTREE_MARKED);
			stays = true;
		}
		due = true;
	}
	return due && !stays;
}

/* Locks all of the unit's pages, the absent ones too, lest one comes in while the unit's
 * memory goes; or none. */
static void lock_unit(struct btree_pager *p, uint32_t first, struct batch *b)
{
	uint32_t i, n = p->io->unit_pages;
	unsigned int before = b->n;

	for (i = first; i < first + n; i++) {
		uint64_t s = port_load_acquire(&p->state[i]);

		if (s & (BTREE_LOCKED | BTREE_PINS) ||
		    ((s & BTREE_RESIDENT) && !(s & BTREE_MARKED)) ||
		    !port_write_try(&p->state[i], s, s | BTREE_LOCKED)) {
			unlock_since(p, b, before);
			return;
		}
		b->page[b->n] = i;
		b->state[b->n++] = s;
		if ((s & BTREE_RESIDENT) && is_dirty_inner(p, i, s)) {
			unlock_since(p, b, before);
			return;
		}
	}
}

/* Free numbers' memory is of no use to anybody. */
static void take_free(struct btree_pager *p, struct batch *b, unsigned int most)
{
	uint32_t page;
	uint64_t s;

	while (p->io->unit_pages == 1 && b->n < most) {
		page = btree_space_pop_resident(p->space);
		if (!page)
			return;
		s = port_load_acquire(&p->state[page]);
		/* The number may have been given out since. */
		if (!(s & BTREE_RESIDENT) ||
		    s & (BTREE_LOCKED | BTREE_PINS | BTREE_DIRTY) ||
		    !port_write_try(&p->state[page], s, s | BTREE_LOCKED))
			continue;
		b->page[b->n] = page;
		b->state[b->n++] = s;
	}
}

static void sweep(struct btree_pager *p, struct batch *b, unsigned int most)
{
	struct btree_pager_io *io = p->io;
	uint32_t unit = io->unit_pages,
		 limit = port_load_acquire(&p->limit) / unit * unit;
	bool latched = port_load_acquire(&io->failed);
	uint64_t looks = 2 * (uint64_t)(limit / unit) + 1;

	while (looks-- && b->n + unit <= most) {
		uint32_t at = io->hand;

		/* A batch ascends, so that neighbours are found by looking ahead. */
		if (at >= limit) {
			io->hand = 0;
			if (b->n)
				return;
			continue;
		}
		io->hand = at + unit;
		if (is_due(p, at, latched))
			lock_unit(p, at, b);
	}
}

/* ---- writing ---- */

static bool must_write(const struct batch *b, unsigned int i)
{
	return (b->state[i] & (BTREE_RESIDENT | BTREE_DIRTY)) ==
	       (BTREE_RESIDENT | BTREE_DIRTY);
}

/* From i on, as many neighbours as one write takes. */
static unsigned int run_length(const struct btree_pager *p, const struct batch *b,
			       unsigned int i)
{
	unsigned int n = 1;

	while (i + n < b->n && b->page[i + n] == b->page[i] + n && must_write(b, i + n) &&
	       (n + 1) * (uint64_t)p->shape.page_bytes <= BTREE_IO_BYTES)
		n++;
	return n;
}

static int write_victims(struct btree_pager *p, struct batch *b)
{
	unsigned int i, j, n;
	int error;

	for (i = 0; i < b->n; i += n) {
		uint64_t bytes;

		n = 1;
		if (!must_write(b, i))
			continue;
		n = run_length(p, b, i);
		for (j = i; j < i + n; j++) {
			struct btree_page_header *h = btree_page(p, b->page[j]);

			h->crc = btree_page_sum(p, h);
			port_store_relaxed(&p->crc[b->page[j]], h->crc);
		}
		bytes = (uint64_t)n * p->shape.page_bytes;
		error = file_write(p->io->file, btree_offset(p, b->page[i]),
				   btree_page(p, b->page[i]), (size_t)bytes);
		if (error)
			return btree_pager_latch(p, error, "writing pages");
		(void)port_fetch_add(&p->io->writes, (uint64_t)1);
		(void)port_fetch_add(&p->io->written_bytes, bytes);
	}
	return 0;
}

/* ---- letting go ---- */

static void discard_victims(struct btree_pager *p, const struct batch *b)
{
	unsigned int i, n;

	port_range_small(&p->io->memory);
	for (i = 0; i < b->n; i += n) {
		for (n = 1; i + n < b->n && b->page[i + n] == b->page[i] + n;)
			n++;
		port_range_discard(&p->io->memory, btree_offset(p, b->page[i]),
				   btree_offset(p, b->page[i] + n));
	}
}

static void release_victims(struct btree_pager *p, const struct batch *b)
{
	unsigned int i;

	for (i = 0; i < b->n; i++) {
		bool resident = b->state[i] & BTREE_RESIDENT, written = must_write(b, i);

		if (resident)
			btree_unit_leave(p, b->page[i]);
		if (resident)
			(void)port_fetch_add(&p->io->evictions, (uint64_t)1);
		(void)btree_page_release(p, b->page[i],
					 BTREE_RESIDENT | BTREE_MARKED | BTREE_DIRTY,
					 written ? BTREE_CRC_KNOWN : 0, resident);
		/* Never fewer than there are: a checkpoint makes room for so many. */
		if (written)
			(void)port_fetch_add(&p->io->dirty, (uint64_t)-1);
	}
}

/* Returns how many pages went. */
static unsigned int evict(struct btree_pager *p, uint64_t units)
{
	struct batch b = { .n = 0 };
	uint64_t pages = units * p->io->unit_pages;
	unsigned int most = pages < BATCH_PAGES / 2 ? BATCH_PAGES / 2 : BATCH_PAGES;

	take_free(p, &b, most);
	if (!b.n)
		sweep(p, &b, most);
	if (!b.n)
		return 0;
	/* What could not be written stays dirty, and in memory. */
	if (write_victims(p, &b)) {
		unlock_since(p, &b, 0);
		return 0;
	}
	discard_victims(p, &b);
	release_victims(p, &b);
	return b.n;
}

bool btree_pager_is_full(struct btree_pager *p)
{
	return port_load_acquire(&p->io->resident) >= p->io->budget;
}

bool btree_pager_is_overfull(struct btree_pager *p)
{
	return port_load_acquire(&p->io->resident) > p->io->budget + p->io->budget / 4;
}

void btree_pager_may_outgrow(struct btree_pager *p, bool may)
{
	port_store_release(&p->io->may_outgrow, may);
}

int btree_make_room(struct btree_pager *p, uint64_t pages, bool writer,
		    struct kv_msg *why)
{
	struct btree_pager_io *io = p->io;
	uint64_t need = (pages + io->unit_pages - 1) / io->unit_pages, resident;
	uint64_t most = io->budget + (writer ? 0 : io->budget / 4);
	unsigned int patience = writer ? PATIENCE_WRITER : PATIENCE;
	uint32_t no;

	for (;;) {
		resident = port_load_acquire(&io->resident);
		if (resident + need <= io->budget)
			return 0;
		no = 0;
		if (!port_cas(&io->evicting, &no, 1u)) {
			/* Somebody is at it; wait only if we would run away from him. */
			if (resident <= io->budget + io->budget / 16)
				return 0;
			p->config.env->ops->sleep_ns(p->config.env, 1000);
			continue;
		}
		no = evict(p, resident + need - io->budget);
		port_store_release(&io->evicting, 0u);
		if (no)
			continue;
		if (resident <= most || port_load_acquire(&io->may_outgrow))
			return 0;
		/* A checkpoint's pins, and locks, are gone in a moment; cursors' are not. */
		if (!patience--)
			break;
		p->config.env->ops->sleep_ns(p->config.env, PATIENCE_NS);
	}
	return kv_fail(
		why, -ENOMEM,
		"%llu bytes of pages are pinned by cursors, or cannot be written: "
		"give more memory_bytes, or close cursors",
		(unsigned long long)(resident * io->unit_pages * p->shape.page_bytes));
}
