/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager.h - pages of one file, in memory and on disk.
 *
 * A page's number is its place in the file and, because a range of addresses is reserved
 * for the whole file, its place in memory too: from number to address is a multiplication,
 * with no table to look it up in (vmcache: Leis et al., "Virtual-Memory Assisted Buffer
 * Management", 2023). What a page is at the moment stands in one word of its own, its state:
 *
 *   bit 0       locked: somebody changes it, or reads it in
 *   bit 1       resident: its bytes are in memory
 *   bit 2       marked by CLOCK: next time round it goes, unless somebody unmarks it
 *   bit 3       dirty: memory is newer than the file
 *   bit 4       crc known: what the file has for it, or will have, is in crc[]
 *   bits 8..19  pins: cursors that stand on it; it stays in memory
 *   bits 20..63 version: one more after each change, each eviction and each freeing
 *
 * Optimistic readers (Leis et al., "Optimistic Lock Coupling", 2019) take no lock: they
 * note a page's version, read, and believe what they read if the version is still the same.
 *
 * Copy on write. A page that a checkpoint or a snapshot can reach is frozen: nobody changes
 * it again, the writer copies it to a new number. Generations say which: a page has a birth;
 * a checkpoint or snapshot of generation g sees pages with birth <= g that were not freed at
 * or before g. A freed page is used again once no generation in [birth, freed) is kept. So
 * no page that the durable checkpoint reaches is ever overwritten, and a torn page cannot
 * come to be.
 *
 * Disk space is taken when a number is given out, not when the page is written: a full disk
 * refuses a put, and never a checkpoint.
 *
 * What happens to a page when its number is freed is that it gets a new version, at once: so
 * who still follows a stale parent finds, when it validates the parent, that it was one.
 *
 * Generations begin at 1.
 *
 * Threads: "writer" functions under the caller's writer lock; the others from any thread.
 */
#ifndef BTREE_PAGER_H
#define BTREE_PAGER_H

#include "../sprint-2-hash-storage/env.h"
#include "btree_node.h"

enum {
	BTREE_SUPER_PAGES = 2,      /* numbers 0 and 1 */
	BTREE_NO_PAGE = UINT32_MAX, /* and 0 is never a node either */
};

#define BTREE_LOCKED    ((uint64_t)1 << 0)
#define BTREE_RESIDENT  ((uint64_t)1 << 1)
#define BTREE_MARKED    ((uint64_t)1 << 2)
#define BTREE_DIRTY     ((uint64_t)1 << 3)
#define BTREE_CRC_KNOWN ((uint64_t)1 << 4)
#define BTREE_PIN       ((uint64_t)1 << 8)
#define BTREE_PINS      ((uint64_t)0xfff << 8)
#define BTREE_VERSION   ((uint64_t)1 << 20)
/* What a reader compares: version, locked, resident. */
#define BTREE_VALID (~(BTREE_VERSION - 1) | BTREE_LOCKED | BTREE_RESIDENT)

struct btree_pager_config {
	struct env *env;
	const char *path;      /* of the file; its directory exists */
	uint32_t page_bytes;   /* power of two */
	uint64_t memory_bytes; /* budget of resident pages; at least 64 pages */
	uint64_t store_id;
	bool huge; /* ask for huge memory pages */
	bool lock; /* keep pages from being swapped out (mlock) */
	uint64_t
		max_bytes; /* that the file can grow to; 0: 256 GiB, or what there is room
			     * for. Addresses, not memory */
	uint32_t
		memory_page_bytes; /* of the machine, where more than it says itself; tests */
};

/* What a checkpoint is: all that is needed to open it. */
struct btree_super {
	uint64_t store_id;
	uint64_t generation;
	uint64_t log_position; /* replay from here */
	uint64_t keys;         /* pairs in the tree */
	struct btree_child root;
	uint32_t levels; /* of the tree: 1 is a root that is a leaf */
	uint32_t page_bytes;
	/* set by the pager */
	uint64_t sequence; /* of superblocks: the higher valid one counts */
	uint32_t pages;    /* in the file */
	uint32_t map_page, map_pages, map_crc; /* the free map, a run of pages */
};

struct btree_pager {
	/* constant after open */
	uint8_t *memory; /* page n at n << page_shift */
	uint64_t *state; /* atomic, one a page */
	uint32_t *crc;   /* atomic; means something where BTREE_CRC_KNOWN is set */
	unsigned int page_shift;
	struct btree_shape shape; /* max_keys: set by the owner */
	uint32_t limit; /* atomic, grows: numbers below it have a state and memory */
	struct btree_pager_config config;
	struct btree_pager_space *space; /* which numbers are free: btree_space.c */
	struct btree_pager_io *io; /* file, budget, CLOCK: btree_pager.c, btree_evict.c */
};

/* ---- opening ---- */

/* A new file with pages 0 and 1 and no checkpoint yet, durable with its name. To be called
 * where the store's identity is not written yet: what a creation that broke off has left
 * there is replaced. -EEXIST: there is more than that, a file with a checkpoint of pairs. */
int btree_pager_create(const struct btree_pager_config *c, struct btree_pager **out,
		       struct kv_msg *why);
/* Opens at the newest valid superblock, repairs its twin, and loads the free map. The store's
 * id and page size come from it: c's are ignored. -ENOENT: no such file; -EBADMSG: no
 * superblock is valid; -EPROTONOSUPPORT: a newer format. */
int btree_pager_open(const struct btree_pager_config *c, struct btree_super *super,
		     struct btree_pager **out, struct kv_msg *why);
/* Writes nothing. NULL is allowed. */
void btree_pager_close(struct btree_pager *p);

/* ---- a page as it is in memory ---- */

static inline void *btree_page(const struct btree_pager *p, uint32_t page)
{
	return p->memory + ((uint64_t)page << p->page_shift);
}

/* Takes CLOCK's mark off. */
void btree_page_unmark(struct btree_pager *p, uint32_t page);

/* The page's version, to read it by; false when it is locked or not in memory, or the number
 * is beyond the file: btree_page_fetch() then. What is read between this and
 * btree_page_valid() stands between port_optimistic_begin() and port_optimistic_end(). */
static inline bool btree_page_begin(struct btree_pager *p, uint32_t page,
				    uint64_t *version)
{
	uint64_t s;

	*version = 0;
	if (page >= port_load_acquire(&p->limit))
		return false;
	s = port_load_acquire(&p->state[page]);
	*version = s;
	if ((s & (BTREE_LOCKED | BTREE_RESIDENT | BTREE_MARKED)) == BTREE_RESIDENT)
		return true;
	if ((s & (BTREE_LOCKED | BTREE_RESIDENT)) != BTREE_RESIDENT)
		return false;
	btree_page_unmark(p, page);
	return true;
}

/* Whether all that was read since btree_page_begin() was the page at that version. */
static inline bool btree_page_valid(const struct btree_pager *p, uint32_t page,
				    uint64_t version)
{
	return !((port_read_again(&p->state[page]) ^ version) & BTREE_VALID);
}

/* Waits while it is locked, reads it in when it is not in memory. crc: what the page should
 * have, by its parent; 0: the parent does not know, as with overflow pages, whose value has
 * a CRC. It is ignored where the pager knows better (BTREE_CRC_KNOWN): once it has read or
 * written the page. Checks CRC, number, kind and btree_node_check(). -EBADMSG and -EIO with
 * why, after a second try; -ENOMEM. The page may be gone again when this returns: begin
 * anew. Hold no lock of a page. An error means something only if the parent, where page and
 * crc come from, is still valid. */
int btree_page_fetch(struct btree_pager *p, uint32_t page, uint32_t crc,
		     struct kv_msg *why);
/* Several at once, as readahead: errors are left to whoever fetches the page. */
void btree_page_fetch_many(struct btree_pager *p, const struct btree_child *child,
			   size_t n);

/* Keeps a page that a kept generation reaches in memory until it is unpinned: it may be read
 * without validation if it is frozen: not even a checkpoint writes to it. Fetches it. -EMFILE:
 * it has 4095 pins. */
int btree_page_pin(struct btree_pager *p, uint32_t page, uint32_t crc,
		   struct kv_msg *why);
void btree_page_unpin(struct btree_pager *p, uint32_t page);
/* The same where it takes no waiting and no reading; false: btree_page_pin(). */
static inline bool btree_page_pin_resident(struct btree_pager *p, uint32_t page)
{
	uint64_t s;

	if (page >= port_load_acquire(&p->limit))
		return false;
	s = port_load_acquire(&p->state[page]);
	return (s & (BTREE_LOCKED | BTREE_RESIDENT)) == BTREE_RESIDENT &&
	       (s & BTREE_PINS) != BTREE_PINS &&
	       port_cas(&p->state[page], &s, (s + BTREE_PIN) & ~BTREE_MARKED);
}

/* ---- changing: the writer ---- */

/* Locks the page if it is still at that version. */
bool btree_page_lock_at(struct btree_pager *p, uint32_t page, uint64_t version);
/* Locks a page that is resident and pinned, or new. */
void btree_page_lock(struct btree_pager *p, uint32_t page);
/* changed: gives it a new version and makes it dirty. */
void btree_page_unlock(struct btree_pager *p, uint32_t page, bool changed);

/* Makes sure that n pages, and besides a run of so many in one piece, can be had without
 * failing, memory and disk: -ENOSPC, -ENOMEM, or what latched the pager;
 * btree_pager_failure() has the sentence. urgent: what leads to free space may use the
 * reserve. Holds until the next reserve, or the writer lock is given up. May evict; hold no
 * lock of a page. */
int btree_pages_reserve(struct btree_pager *p, uint32_t n, uint32_t run, bool urgent);
/* Whether the budget is used up: then a reserve may have failed for changed inner nodes, which
 * stay in memory until a checkpoint has been written. Any thread. */
bool btree_pager_is_full(struct btree_pager *p);
/* ... by so much that who fetches a page waits until something goes. */
bool btree_pager_is_overfull(struct btree_pager *p);
/* For replaying a log, when no checkpoint can be written: pages that cannot go may be more
 * than the budget. */
void btree_pager_may_outgrow(struct btree_pager *p, bool may);
/* One of those: resident, dirty, born in that generation, its header filled in but for kind
 * and level, the rest undefined. Nobody else knows it, so it needs no lock. Pinned once:
 * unpin it when it is linked. */
uint32_t btree_page_new(struct btree_pager *p, uint64_t birth);
/* n in one piece, n <= run as reserved; once a reserve. Each page as above, pinned as well;
 * memory above the budget while they are. */
uint32_t btree_run_new(struct btree_pager *p, uint32_t n, uint64_t birth);
/* The current tree does not reach it any more. birth: the page's. */
void btree_page_free(struct btree_pager *p, uint32_t page, uint64_t birth,
		     uint64_t freed);

/* The writer: gives back what no kept generation needs. keep: ascending, n of them, the
 * checkpoints' not needed. Cheap when nothing has been freed; after a checkpoint, which
 * lets go of much, each call does a part of the work. */
void btree_pages_reclaim(struct btree_pager *p, const uint64_t *keep, size_t n);
/* The same for at most so many pages; whether there is more to do. */
bool btree_pages_reclaim_some(struct btree_pager *p, const uint64_t *keep, size_t n,
			      unsigned int most);

/* Pages made ahead of a checkpoint, after which each that is changed is copied: memory that
 * nobody has touched is slow to come by, and so is a larger file. As many as have changed
 * since the last one, less what is free; none where the file would outgrow the budget, or a
 * full disk is near. */
struct btree_ahead {
	uint32_t from, to; /* numbers that came last: btree_ahead_populate() */
	uint32_t want;     /* in the file when it is done; 0: not begun */
};
/* The writer: a part of it; false: there is no more to do. */
bool btree_ahead_grow(struct btree_pager *p, struct btree_ahead *a);
/* The writer: the next reclaim may cut off what was made ahead and is not used yet. */
void btree_ahead_end(struct btree_pager *p);
/* Any thread, without the writer lock: memory for what came last. */
void btree_ahead_populate(struct btree_pager *p, const struct btree_ahead *a);

/* ---- checkpoints; one at a time, in any thread ---- */

struct btree_checkpoint;
/* The writer, in an instant: fixes what is to be written: pages with birth <= s->generation,
 * which from now on are frozen. */
int btree_checkpoint_begin(struct btree_pager *p, const struct btree_super *s,
			   struct btree_checkpoint **out);
/* Without the writer lock: writes the pages, leaves first, so that each parent knows its
 * children's checksums; syncs; writes and syncs the superblock. Then the checkpoint is
 * durable. rate: bytes a second, 0: any. An error of sync, or of writing the superblock,
 * latches the pager: the same error from then on. */
int btree_checkpoint_write(struct btree_checkpoint *c, uint64_t rate, struct kv_msg *why);
/* The writer: what only the checkpoint before needed can be used again, in part at once and
 * else by btree_pages_reclaim_some(); cuts the file's free end off, but for what was made
 * ahead. Frees c; after an error, keeps the checkpoint before. keep: as above. */
void btree_checkpoint_end(struct btree_checkpoint *c, const uint64_t *keep, size_t n);

/* ---- writing ahead of a checkpoint: btree_flush.c ---- */

struct btree_flush;
/* For one who makes many pages that nobody reaches yet. No checkpoint is written meanwhile.
 * -ENOMEM, or what a condition costs. */
int btree_flush_begin(struct btree_pager *p, struct btree_flush **out);
/* The writer: a page with birth of now, no inner node, unpinned, that does not change any more:
 * it is written in the background, or else by the checkpoint. The first error of that comes
 * back here or from the end. */
int btree_flush_add(struct btree_flush *f, uint32_t page);
/* Waits for what is being written; what is not yet begun is left to the checkpoint. Frees f.
 * Pages may be freed after this, and not before. */
int btree_flush_end(struct btree_flush *f, struct kv_msg *why);

/* ---- looking at it ---- */

struct btree_pager_stats {
	uint64_t file_bytes, free_bytes, held_bytes; /* held: freed, and yet kept */
	uint64_t resident_bytes, dirty_bytes;
	uint64_t reads, writes, evictions, written_bytes, read_bytes;
	uint64_t checkpoint_pages, checkpoints;
	uint64_t locked_bytes; /* that mlock() took; 0 where it was refused */
	bool failed;           /* latched */
};
void btree_pager_stats(struct btree_pager *p, struct btree_pager_stats *out);
uint32_t btree_pager_pages(struct btree_pager *p); /* numbers below it exist */
/* Why the last reserve was refused, or what latched the pager: then its error, else 0. */
int btree_pager_failure(struct btree_pager *p, struct kv_msg *why);
/* For verify: whether the number is in use by the current tree or the pager itself. */
bool btree_page_in_use(struct btree_pager *p, uint32_t page);
bool btree_page_is_map(struct btree_pager *p, uint32_t page);
/* Reads a clean page from the file again and checks it, whatever is in memory; verify. A
 * dirty page: 0. */
int btree_page_check_file(struct btree_pager *p, struct btree_child child, void *scratch,
			  struct kv_msg *why);

#endif /* BTREE_PAGER_H */
