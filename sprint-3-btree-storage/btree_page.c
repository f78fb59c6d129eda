/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_page.c - a page's state word, and what is done under its lock: reading the page in.
 *
 * The lock is a bit of the word that readers validate, so taking it is one compare-and-swap,
 * and a reader's check costs one load. It is held for moments, but for reading and writing,
 * so who finds it taken looks a few times and then sleeps for a microsecond.
 */
#include "btree_pager_internal.h"

/* Reads side by side. */
enum { READ_MANY = PORT_FRAME_BYTES / 64 < 32 ? PORT_FRAME_BYTES / 64 : 32 };

/* ---- the lock ---- */

void btree_page_wait(struct btree_pager *p, uint32_t page)
{
	unsigned int i;

	for (i = 0; i < BTREE_SPINS; i++)
		if (!(port_load_acquire(&p->state[page]) & BTREE_LOCKED))
			return;
	p->config.env->ops->sleep_ns(p->config.env, 1000);
}

uint64_t btree_page_acquire(struct btree_pager *p, uint32_t page)
{
	uint64_t s;

	for (;;) {
		s = port_load_acquire(&p->state[page]);
		if (s & BTREE_LOCKED)
			btree_page_wait(p, page);
		else if (port_write_try(&p->state[page], s, s | BTREE_LOCKED))
			return s;
	}
}

uint64_t btree_page_release(struct btree_pager *p, uint32_t page, uint64_t clear,
			    uint64_t set, bool change)
{
	/* EXERCISE 3.8 begin: bits off, bits on, perhaps a new version, in one step
	 *|	return port_load_relaxed(&p->state[page]);
	 */
	uint64_t s = port_load_relaxed(&p->state[page]), next;

	do {
		next = change ? s + BTREE_VERSION : s;
		next = (next & ~(clear | BTREE_LOCKED)) | set;
	} while (!port_cas(&p->state[page], &s, next));
	return s;
	/* EXERCISE 3.8 end */
}

void btree_page_lock(struct btree_pager *p, uint32_t page)
{
	(void)btree_page_acquire(p, page);
}

bool btree_page_lock_at(struct btree_pager *p, uint32_t page, uint64_t version)
{
	/* EXERCISE 3.8 begin: locked by one compare-and-swap, or the version is another
	 *|	return false;
	 */
	uint64_t s;

	do {
		s = port_load_acquire(&p->state[page]);
		if ((s ^ version) & BTREE_VALID)
			return false;
	} while (!port_write_try(&p->state[page], s, s | BTREE_LOCKED));
	return true;
	/* EXERCISE 3.8 end */
}

void btree_page_unlock(struct btree_pager *p, uint32_t page, bool changed)
{
	uint64_t before =
		btree_page_release(p, page, 0, changed ? BTREE_DIRTY : 0, changed);

	if (changed && !(before & BTREE_DIRTY))
		(void)port_fetch_add(&p->io->dirty, (uint64_t)1);
}

void btree_page_unmark(struct btree_pager *p, uint32_t page)
{
	uint64_t s = port_load_relaxed(&p->state[page]);

	/* Whoever changed it meanwhile will not evict it on the mark that we saw. */
	if ((s & (BTREE_MARKED | BTREE_LOCKED)) == BTREE_MARKED)
		(void)port_cas(&p->state[page], &s, s & ~BTREE_MARKED);
}

/* ---- trusting what was read ---- */

uint32_t btree_page_known_crc(const struct btree_pager *p, uint32_t page, uint32_t other)
{
	if (port_load_acquire(&p->state[page]) & BTREE_CRC_KNOWN)
		return port_load_relaxed(&p->crc[page]);
	return other;
}

static int bad_page(const struct btree_pager *p, uint32_t page, const char *what,
		    uint32_t wanted, uint32_t got, struct kv_msg *why)
{
	return kv_fail(why, -EBADMSG,
		       "%s: page %u at offset %llu: %s %08x, wanted %08x: restore a "
		       "backup, or salvage",
		       p->io->path, page, (unsigned long long)btree_offset(p, page), what,
		       got, wanted);
}

int btree_page_check_image(const struct btree_pager *p, uint32_t page, const void *image,
			   uint32_t crc, struct kv_msg *why)
{
	struct btree_page_header h;
	uint32_t sum = btree_page_sum(p, image);

	memcpy(&h, image, sizeof(h));
	if (h.crc != sum)
		return bad_page(p, page, "CRC", h.crc, sum, why);
	if (crc && crc != sum)
		return bad_page(p, page, "not the one that was written last: CRC", crc,
				sum, why);
	if (h.page != page)
		return bad_page(p, page, "another page's bytes: page", page, h.page, why);
	return 0;
}

/* Of the tree: its content as well. */
static int check_tree_page(struct btree_pager *p, uint32_t page, const void *image,
			   uint32_t crc, struct kv_msg *why)
{
	const struct btree_page_header *h = image;
	struct kv_msg what = { "" };
	int error = btree_page_check_image(p, page, image, crc, why);

	if (error)
		return error;
	if (h->kind == BTREE_PAGE_OVERFLOW && !h->level &&
	    h->used <= p->shape.page_bytes - sizeof(*h))
		return 0;
	if (h->kind != BTREE_PAGE_NODE)
		return bad_page(p, page, "kind", BTREE_PAGE_NODE, h->kind, why);
	error = btree_node_check(image, &p->shape, &what);
	if (error)
		return kv_fail(why, error,
			       "%s: page %u at offset %llu: %s: restore a backup",
			       p->io->path, page,
			       (unsigned long long)btree_offset(p, page), what.text);
	return 0;
}

/* ---- reading in ---- */

static void count_read(struct btree_pager *p, uint64_t calls, uint64_t bytes)
{
	(void)port_fetch_add(&p->io->reads, calls);
	(void)port_fetch_add(&p->io->read_bytes, bytes);
}

/* Twice, if need be: what a cable or a bus spoilt is right the second time. */
static int read_checked(struct btree_pager *p, uint32_t page, void *image, uint32_t crc,
			struct kv_msg *why)
{
	int error = 0, attempt;

	for (attempt = 0; attempt < 2; attempt++) {
		count_read(p, 1, p->shape.page_bytes);
		error = file_read_exact(p->io->file, p->io->path, btree_offset(p, page),
					image, p->shape.page_bytes, why);
		if (!error)
			error = check_tree_page(p, page, image, crc, why);
		if (!error)
			break;
	}
	return error;
}

/* The page's lock is held. */
static void read_in_done(struct btree_pager *p, uint32_t page, int error)
{
	uint64_t at = btree_offset(p, page);

	if (!error)
		btree_unit_enter(p, page);
	else if (p->io->unit_pages == 1)
		port_range_discard(&p->io->memory, at, at + p->shape.page_bytes);
	(void)btree_page_release(p, page, 0, error ? 0 : BTREE_RESIDENT, false);
}

int btree_page_fetch(struct btree_pager *p, uint32_t page, uint32_t crc,
		     struct kv_msg *why)
{
	uint64_t s;
	int error;

	if (page < BTREE_SUPER_PAGES || page >= btree_pager_pages(p))
		return kv_fail(why, -EBADMSG,
			       "%s: page %u is beyond its end: restore a "
			       "backup, or salvage",
			       p->io->path, page);
	for (;;) {
		s = port_load_acquire(&p->state[page]);
		if (s & BTREE_LOCKED) {
			btree_page_wait(p, page);
			continue;
		}
		if (s & BTREE_RESIDENT)
			return 0;
		error = btree_make_room(p, 1, false, why);
		if (error)
			return error;
		if (port_write_try(&p->state[page], s, s | BTREE_LOCKED))
			break;
	}
	error = read_checked(p, page, btree_page(p, page),
			     btree_page_known_crc(p, page, crc), why);
	read_in_done(p, page, error);
	return error;
}

/* ---- several at once ---- */

struct many { /* pages that are locked, and the reads that bring them */
	struct file_read read[READ_MANY];
	uint32_t first[READ_MANY]; /* of each read: an index into child */
	struct btree_child child[READ_MANY];
	size_t reads, n;
};

static bool lock_absent(struct btree_pager *p, uint32_t page)
{
	uint64_t s;

	if (page < BTREE_SUPER_PAGES || page >= btree_pager_pages(p))
		return false;
	s = port_load_acquire(&p->state[page]);
	return !(s & (BTREE_LOCKED | BTREE_RESIDENT)) &&
	       port_write_try(&p->state[page], s, s | BTREE_LOCKED);
}

/* Neighbours in the file are neighbours in memory: one read brings both. */
static void add_child(struct btree_pager *p, struct many *m, struct btree_child child)
{
	struct file_read *r = &m->read[m->reads - (m->reads > 0)];

	m->child[m->n] = child;
	if (m->n && m->child[m->n - 1].page + 1 == child.page) {
		r->len += p->shape.page_bytes;
	} else {
		m->first[m->reads] = (uint32_t)m->n;
		m->read[m->reads++] = (struct file_read){
			.file = p->io->file,
			.offset = btree_offset(p, child.page),
			.data = btree_page(p, child.page),
			.len = p->shape.page_bytes,
		};
	}
	m->n++;
}

static void take_up(struct btree_pager *p, struct many *m)
{
	size_t i, j;

	for (i = 0; i < m->reads; i++) {
		struct file_read *r = &m->read[i];
		size_t pages = r->len / p->shape.page_bytes;

		for (j = 0; j < pages; j++) {
			struct btree_child c = m->child[m->first[i] + j];
			int error = r->error;

			if (!error && r->got < (j + 1) * p->shape.page_bytes)
				error = -EBADMSG;
			if (!error)
				error = check_tree_page(
					p, c.page, btree_page(p, c.page),
					btree_page_known_crc(p, c.page, c.crc), NULL);
			read_in_done(p, c.page, error);
		}
	}
}

void btree_page_fetch_many(struct btree_pager *p, const struct btree_child *child,
			   size_t n)
{
	struct many m = { .n = 0 };
	size_t i, most = p->io->budget / 4 < READ_MANY ? p->io->budget / 4 : READ_MANY;

	if (n > most)
		n = most;
	if (btree_make_room(p, n, false, NULL))
		return;
	for (i = 0; i < n; i++)
		if (lock_absent(p, child[i].page))
			add_child(p, &m, child[i]);
	if (!m.n)
		return;
	count_read(p, m.reads, m.n * p->shape.page_bytes);
	p->config.env->ops->read_many(p->config.env, m.read, m.reads);
	take_up(p, &m);
}

/* ---- pins ---- */

int btree_page_pin(struct btree_pager *p, uint32_t page, uint32_t crc, struct kv_msg *why)
{
	uint64_t s;
	int error;

	if (page >= port_load_acquire(&p->limit))
		return btree_page_fetch(p, page, crc, why);
	for (;;) {
		s = port_load_acquire(&p->state[page]);
		if ((s & (BTREE_LOCKED | BTREE_RESIDENT)) != BTREE_RESIDENT) {
			error = btree_page_fetch(p, page, crc, why);
			if (error)
				return error;
			continue;
		}
		if ((s & BTREE_PINS) == BTREE_PINS)
			return kv_fail(why, -EMFILE,
				       "4095 cursors stand on one page: close some");
		if (port_cas(&p->state[page], &s, (s + BTREE_PIN) & ~BTREE_MARKED))
			return 0;
	}
}

void btree_page_unpin(struct btree_pager *p, uint32_t page)
{
	(void)port_fetch_add(&p->state[page], -BTREE_PIN);
}

/* ---- verify ---- */

int btree_page_check_file(struct btree_pager *p, struct btree_child child, void *scratch,
			  struct kv_msg *why)
{
	uint64_t before, after;
	int error;

	if (child.page < BTREE_SUPER_PAGES || child.page >= btree_pager_pages(p))
		return btree_page_fetch(p, child.page, child.crc, why);
	do {
		before = port_load_acquire(&p->state[child.page]);
		if (before & BTREE_DIRTY)
			return 0;
		error = read_checked(p, child.page, scratch,
				     btree_page_known_crc(p, child.page, child.crc), why);
		/* Unless it was changed and written meanwhile. */
		after = port_load_acquire(&p->state[child.page]);
	} while (error && (before ^ after) & (BTREE_DIRTY | ~(BTREE_VERSION - 1)));
	return error;
}
