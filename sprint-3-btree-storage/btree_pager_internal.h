/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_pager_internal.h - what the pager's files share, and nobody else includes.
 *
 *   btree_pager.c             open, create, close; the file's growth; failures
 *   btree_page.c              a page's state: fetch, pin, lock
 *   btree_evict.c             the budget; CLOCK
 *   btree_space.c             which numbers are free; reserve, new
 *   btree_freed.c             freed numbers, until no generation needs them
 *   btree_pager_checkpoint.c  writing a checkpoint
 *   btree_flush.c             writing pages before it, in the background
 *   btree_free_map.c          the free map of a checkpoint
 *   btree_super.c             the superblock
 *
 * Order of locks: a page's (several only by trying), then space->lock, then io->lock.
 */
#ifndef BTREE_PAGER_INTERNAL_H
#define BTREE_PAGER_INTERNAL_H

#include "../sprint-1-core-memory/port_range.h"
#include "btree_pager.h"

enum {
	BTREE_SUPER_BYTES = 128,  /* that mean something */
	BTREE_SUPER_BLOCK = 4096, /* bytes of its page that are written */
	BTREE_SUPER_COPY = 2048,  /* the block's second copy */
	BTREE_RESERVE_PAGES = 64, /* kept for what leads to free space */
	BTREE_IO_BYTES = 1 << 20, /* at most in one call */
	BTREE_MAP_SPARES = 2,
	BTREE_SPINS = 64, /* looks at a locked page before it is slept on */
};

/* ---- numbers ---- */

struct btree_run {
	uint32_t page, n; /* n 0: none */
};

struct btree_list { /* of numbers, by their struct btree_freed; 0: none */
	uint32_t head, tail;
};

/* One a page: where it stands while its number is freed or free. */
struct btree_freed {
	uint64_t birth, freed; /* freed 0: in no list; or BTREE_FREE_RESIDENT */
	uint32_t next, prev;
};

#define BTREE_FREE_RESIDENT UINT64_MAX

struct btree_bucket {        /* freed numbers that this generation still needs */
	uint64_t generation; /* 0: to be looked at again each time */
	struct btree_list list;
};

struct btree_pager_space {
	struct port_mutex lock;
	struct btree_freed *freed; /* constant; one a page */
	/* written by the writer under lock; read atomically without */
	uint32_t pages; /* in the file */

	/* protected by lock; bits, one a page, in ranges that do not move */
	uint64_t *used;             /* not free */
	uint64_t *live;             /* in use by the current tree, or a superblock */
	uint32_t free;              /* numbers below pages that are not used */
	uint32_t low;               /* no number below it is free */
	struct btree_list resident; /* free, and (most likely) in memory: taken first */
	struct btree_run reserved;  /* by btree_pages_reserve(); used, but nobody's yet */
	/* The free map's next places. Two, each large enough for the file, so that a
	 * checkpoint always has one: see btree_space_grown(). */
	struct btree_run map_spare[BTREE_MAP_SPARES];
	struct btree_run map_durable, map_running;
	uint32_t durable_pages; /* the file is not cut below */

	uint64_t durable, running; /* generations of checkpoints; 0: none */
	struct btree_list todo;    /* freed numbers that are to be looked at */
	struct btree_bucket *bucket;
	unsigned int buckets, bucket_cap;
	uint64_t held; /* numbers in todo and buckets */
	bool trim;     /* look whether the file's end is free */
	/* The file is not cut below: pages made ahead of the checkpoint to come, or of the
	 * last. */
	uint32_t ahead, ahead_kept;
};

struct btree_pager_io {
	/* constant after open */
	struct file *file;
	char path[ENV_PATH_MAX];
	uint32_t unit_pages; /* pages in a page of the machine's memory; power of two */
	uint32_t max_pages;  /* that the ranges have room for */
	uint64_t budget;     /* units */

	/* the writer's: they grow */
	struct port_range memory, state, crc, freed, used, live, unit;

	/* atomic */
	uint8_t *unit_resident; /* pages in memory, one a unit; NULL: unit_pages is 1 */
	_Alignas(64) uint64_t resident; /* units */
	uint64_t dirty;                 /* pages */
	uint64_t reads, writes, evictions, written_bytes, read_bytes;
	uint64_t checkpoint_pages, checkpoints;
	uint32_t evicting; /* somebody does */
	bool may_outgrow;  /* atomic: the budget */
	int failed;        /* latched: no later write, checkpoint or reserve */

	uint32_t hand; /* CLOCK's; whoever set evicting */

	struct port_mutex lock;
	struct kv_msg failure; /* protected by lock: what failed, or the last refusal */

	uint64_t sequence; /* of the durable superblock; the checkpoint's */
};

/* ---- btree_pager.c ---- */

static inline uint64_t btree_offset(const struct btree_pager *p, uint32_t page)
{
	return (uint64_t)page << p->page_shift;
}

/* Makes the file larger, by need pages at least, with blocks on disk and memory to come. */
int btree_pager_grow(struct btree_pager *p, uint32_t need);
/* The file's end from this page on is given back. */
void btree_pager_shrink(struct btree_pager *p, uint32_t pages);
/* Whether all of so large a file can be in memory: then the system need not cache it, too. */
bool btree_pager_holds(const struct btree_pager *p, uint64_t pages);
/* The first to call it latches the pager. Returns error. */
int btree_pager_latch(struct btree_pager *p, int error, const char *what);
/* 0, or the error that latched the pager, with why. */
int btree_pager_check(struct btree_pager *p, struct kv_msg *why);
/* Remembers the sentence for btree_pager_failure(), unless latched; returns error. */
int btree_pager_refuse(struct btree_pager *p, int error, const char *what);

/* ---- btree_page.c ---- */

static inline uint32_t btree_page_sum(const struct btree_pager *p, const void *image)
{
	return port_crc32c(0, (const uint8_t *)image + 4, p->shape.page_bytes - 4);
}

/* Looks for a while whether the page is locked, sleeps if it still is. */
void btree_page_wait(struct btree_pager *p, uint32_t page);
/* Unlocks: takes bits off, sets others; change: a new version. Returns the state before. */
uint64_t btree_page_release(struct btree_pager *p, uint32_t page, uint64_t clear,
			    uint64_t set, bool change);
/* Waits until it has the lock; returns the state before. */
uint64_t btree_page_acquire(struct btree_pager *p, uint32_t page);
/* What CRC_KNOWN stands for, else other. */
uint32_t btree_page_known_crc(const struct btree_pager *p, uint32_t page, uint32_t other);
/* Whether these bytes are the page: its CRC, also crc unless 0, and its number. */
int btree_page_check_image(const struct btree_pager *p, uint32_t page, const void *image,
			   uint32_t crc, struct kv_msg *why);

/* ---- btree_evict.c ---- */

/* Evicts until so many pages more are within the budget, as far as that can be. -ENOMEM: the
 * budget is exceeded; for one who does not write, by more than a quarter. Hold no lock. */
int btree_make_room(struct btree_pager *p, uint64_t pages, bool writer,
		    struct kv_msg *why);
/* Counts the page's memory as in use, or not; under its lock. */
void btree_unit_enter(struct btree_pager *p, uint32_t page);
void btree_unit_leave(struct btree_pager *p, uint32_t page);

/* ---- btree_space.c; space->lock is held, unless said otherwise ---- */

static inline bool btree_bit(const uint64_t *bits, uint32_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

static inline void btree_bit_set(uint64_t *bits, uint32_t page)
{
	bits[page / 64] |= (uint64_t)1 << page % 64;
}

static inline void btree_bit_clear(uint64_t *bits, uint32_t page)
{
	bits[page / 64] &= ~((uint64_t)1 << page % 64);
}

void btree_list_push(struct btree_pager_space *s, struct btree_list *l, uint32_t page);
void btree_list_remove(struct btree_pager_space *s, struct btree_list *l, uint32_t page);
/* All of from to the end of l. */
void btree_list_splice(struct btree_pager_space *s, struct btree_list *l,
		       struct btree_list *from);

/* How many pages of map so many pages need. */
uint32_t btree_map_pages(const struct btree_pager *p, uint32_t pages);
/* The number is nobody's any more. resident: and in memory. */
void btree_space_put(struct btree_pager_space *s, uint32_t page, bool resident);
void btree_space_put_run(struct btree_pager_space *s, struct btree_run run);
/* The first free run of n; n 0: there is none. */
struct btree_run btree_space_take_run(struct btree_pager_space *s, uint32_t n);
/* The file has so many pages now: more are free, and the map's places may be too small. */
void btree_space_grown(struct btree_pager *p, uint32_t pages);
/* Fills map_spare, as far as there is room. */
void btree_space_fill_spares(struct btree_pager *p);
/* A run that was reserved and not used. */
void btree_space_unreserve(struct btree_pager_space *s);
/* How many pages the file needs for the current tree, the map's places (this one among them)
 * and the reserve. */
uint32_t btree_space_end(const struct btree_pager *p, struct btree_run map);
/* Whether neither the current tree nor the checkpoint that is being written has the page.
 * Takes the lock. */
bool btree_space_is_dropped(struct btree_pager_space *s, uint32_t page, uint64_t birth);
/* Takes a free number out of memory's list for the evictor; 0: none. Takes the lock. */
uint32_t btree_space_pop_resident(struct btree_pager_space *s);
/* Cuts the file's end when much of it is free. The writer, without the lock. */
void btree_space_trim(struct btree_pager *p);

/* ---- btree_free_map.c ---- */

/* Encodes which numbers a checkpoint uses: bits, and the map's own run. Lock held. */
void btree_free_map_encode(const struct btree_pager *p, const struct btree_super *s,
			   uint8_t *map);
/* Fills in the pages' CRCs; returns the whole map's. */
uint32_t btree_free_map_seal(const struct btree_pager *p, const struct btree_super *s,
			     uint8_t *map);
/* Reads it into used and live. */
int btree_free_map_load(struct btree_pager *p, const struct btree_super *s,
			struct kv_msg *why);

/* ---- btree_super.c ---- */

void btree_super_encode(const struct btree_super *s, uint8_t *out);
/* -EBADMSG: it is none; -EPROTONOSUPPORT: a newer program's. why may be NULL. */
int btree_super_decode(struct btree_super *s, const uint8_t *in, struct kv_msg *why);
/* Writes both copies into the place of number 0 or 1; no sync. block: BTREE_SUPER_BLOCK bytes
 * that the caller lends. */
int btree_super_write(struct file *f, const struct btree_super *s, unsigned int place,
		      uint8_t *block);
/* The newest valid one. -EBADMSG: none is. */
int btree_super_read(struct file *f, const char *path, struct btree_super *s,
		     uint8_t *block, struct kv_msg *why);
/* Makes the one that was read durable, which it may not be yet, and heals the other. */
int btree_super_settle(struct file *f, const struct btree_super *s, uint8_t *block);

#endif /* BTREE_PAGER_INTERNAL_H */
