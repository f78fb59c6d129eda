/* SPDX-License-Identifier: MIT */
/*
 * env_sim_internal.h - what the simulator's files share.
 *
 * env_sim.c          a simulator's life, its faults, its journal
 * env_sim_disk.c     bytes, files and directories; copied by reference
 * env_sim_file.c     files behind env.h
 * env_sim_name.c     names behind env.h
 * env_sim_map.c      memory that is a file's bytes
 * env_sim_task.c     tasks, conditions, time
 * env_sim_lock.c     locks that tasks wait for without stopping the others
 * env_sim_follow.c   a journal followed: what is durable, what is not yet
 * env_sim_crash.c    the disk that a crash leaves, once it is said what came out
 * env_sim_choose.c   the ways to say it: prefixes, subsets, by chance
 * env_sim_explore.c  which of these disks to look at
 */
#ifndef ENV_SIM_INTERNAL_H
#define ENV_SIM_INTERNAL_H

#include <semaphore.h>

#include "env_sim.h"

enum { SIM_SECTOR = 512, SIM_PAGE = 4096, SIM_ROOT = 0 };

void sim_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void *sim_alloc(size_t n);                                      /* zeroed, or no return */
void *sim_grow(void *p, size_t *cap, size_t need, size_t size); /* capacity in items */
char *sim_strdup(const char *s);
uint64_t sim_next(uint64_t *rng); /* splitmix64 */

/* ---- disk ---- */

struct sim_page {
	uint32_t refs;
	uint8_t bytes[SIM_PAGE];
};

struct sim_data { /* a file's bytes; pages are shared and copied when written */
	uint64_t size;
	struct sim_page **page; /* NULL: a hole */
	size_t n;
	uint64_t blocks; /* pages that are not holes */
};

void sim_data_load(const struct sim_data *d, uint64_t offset, void *out, size_t len);
/* Does not touch size: bytes beyond it are cut by the next sim_data_resize(). */
void sim_data_store(struct sim_data *d, uint64_t offset, const void *p, size_t len);
void sim_data_resize(struct sim_data *d, uint64_t size);
void sim_data_reserve(struct sim_data *d, uint64_t offset, uint64_t len);
uint64_t sim_data_holes(const struct sim_data *d, uint64_t offset, uint64_t len);
const uint8_t *sim_data_page(const struct sim_data *d, size_t i);     /* SIM_PAGE bytes */
void sim_data_copy(struct sim_data *to, const struct sim_data *from); /* to is empty */
void sim_data_free(struct sim_data *d);

struct sim_name {
	char *text;
	uint32_t node;
};

struct sim_dir {
	struct sim_name *name;
	size_t n, cap;
};

struct sim_name *sim_dir_find(const struct sim_dir *d, const char *name);
void sim_dir_set(struct sim_dir *d, const char *name, uint32_t node);
void sim_dir_remove(struct sim_dir *d, const char *name); /* no such name: nothing */
void sim_dir_free(struct sim_dir *d);

struct sim_region;

struct sim_node {
	uint32_t id;
	bool is_dir;
	bool locked;
	unsigned int names,
		opens; /* it lives as long as there is one; opens also by maps */
	struct sim_data data;
	struct sim_dir dir;
	struct sim_region *regions;
	char *path; /* as it was opened or made: for messages and for faults by path */
};

struct sim_disk {
	struct sim_node **node; /* by id; NULL: gone */
	size_t n, cap;
};

struct sim_node *sim_disk_add(struct sim_disk *d, bool is_dir, const char *path);
void sim_disk_remove(struct sim_disk *d, struct sim_node *node);
void sim_disk_free(struct sim_disk *d);
/* Nodes keep their ids; those without a name are left out. to is empty. */
void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from);
uint64_t sim_disk_blocks(const struct sim_disk *d);
/* The directory that path lies in, and the path's last part. */
int sim_disk_parent(const struct sim_disk *d, const char *path, struct sim_node **dir,
		    const char **last);
int sim_disk_find(const struct sim_disk *d, const char *path, struct sim_node **out);

/* ---- journal ---- */

enum sim_change {
	SIM_DATA,        /* sectors of a file, and its size */
	SIM_RESIZE,      /* size alone; blocks for its sectors, which read as they did */
	SIM_SYNCED,      /* a file's bytes and size are durable */
	SIM_SYNC_FAILED, /* they never will be, unless they are written again */
	SIM_POKE,        /* sectors at rest */
	SIM_CREATE,      /* a name for a new node */
	SIM_REMOVE,      /* a name goes */
	SIM_MOVE,        /* a name goes, and comes elsewhere at once */
	SIM_DIR_SYNCED,
};

struct sim_entry {
	enum sim_change change;
	bool store;      /* SIM_DATA: by a map, so it may be torn within a sector */
	bool is_dir;     /* SIM_CREATE */
	uint32_t node;   /* file, or directory whose names change */
	uint32_t child;  /* SIM_CREATE, SIM_MOVE: what the name names */
	uint32_t to_dir; /* SIM_MOVE */
	uint32_t sectors;
	uint64_t sector; /* the first */
	uint64_t size;   /* of the file, afterwards */
	uint8_t *data;
	char *name, *to_name;
};

struct sim_journal {
	struct sim_entry *entry;
	size_t n, cap;
};

/* ---- the simulator ---- */

struct sim_faults {
	struct env_sim_fault now;
	bool set, fired;
	uint64_t seen; /* calls of its mask */
	uint64_t calls[SIM_CALLS];
};

struct sim_schedule {
	struct env_task *running; /* holds the baton; all else here is its */
	struct env_task *first;   /* every task; the creating thread's is the last */
	uint64_t now_ns;
	uint64_t rng;
	uint32_t next_id;
};

struct env_sim {
	struct env env;
	struct env_sim_config config;
	struct sim_disk disk; /* what the process sees */
	struct sim_disk base; /* what was durable when the journal began */
	struct sim_journal journal;
	uint64_t blocks;                /* in use */
	struct sim_region *all_regions; /* see env_sim_map.c */
	struct sim_faults faults;
	struct sim_schedule schedule;
	uint64_t random, place; /* states of env->random and of faults' places */
	uint64_t trace;
	unsigned int live;
	unsigned int depth;
	char *origin;
	char *failed; /* of an exploration of this disk: its text; or NULL */
};

static inline struct env_sim *sim_of(struct env *env)
{
	return container_of(env, struct env_sim, env);
}

static inline void sim_note(struct env_sim *sim, uint64_t what)
{
	sim->trace = (sim->trace ^ what) * 0x100000001b3u + (sim->trace >> 29);
}

extern const struct file_ops sim_file_ops;
struct sim_file {
	struct file base;
	struct env_sim *sim;
	struct sim_node *node;
	unsigned int flags;
};

static inline struct sim_file *sim_file(struct file *f)
{
	return container_of(f, struct sim_file, base);
}

/* ---- env_sim.c ---- */

struct env_sim *sim_new(const struct env_sim_config *c); /* with an empty base */
/* Every call begins here. 0, or the error that it returns; *effect says what else a fault
 * makes of it (SIM_FAIL: nothing). effect NULL: faults can only be errors. */
int sim_enter(struct env_sim *sim, enum env_sim_call call, const char *path,
	      enum env_sim_effect *effect);
struct sim_entry *sim_journal_add(struct env_sim *sim, enum sim_change change,
				  const struct sim_node *node); /* NULL: no journal */
/* What the file holds in these sectors now. */
void sim_journal_data(struct env_sim *sim, const struct sim_node *node, uint64_t offset,
		      uint64_t len, bool store);
void sim_journal_name(struct env_sim *sim, enum sim_change change,
		      const struct sim_node *dir, const char *name,
		      const struct sim_node *child);

/* ---- env_sim_file.c, env_sim_name.c ---- */

int sim_file_new(struct env_sim *sim, struct sim_node *node, unsigned int flags,
		 struct file **out);
void sim_file_resize(struct env_sim *sim, struct sim_node *node, uint64_t size);
/* Counts what a change to the node's bytes did to the blocks in use. */
void sim_account(struct env_sim *sim, const struct sim_node *node, uint64_t before);
void sim_node_put(struct env_sim *sim, struct sim_node *node); /* gone if unused */
int sim_open(struct env *env, const char *path, unsigned int flags, struct file **out);
int sim_unlink(struct env *env, const char *path);
int sim_rename(struct env *env, const char *from, const char *to);
int sim_mkdir(struct env *env, const char *path);
int sim_rmdir(struct env *env, const char *path);
int sim_list(struct env *env, const char *path, env_name_fn *fn, void *arg);
int sim_sync_dir(struct env *env, const char *path);
int sim_lock(struct env *env, const char *path, struct env_lock **out);
void sim_unlock(struct env *env, struct env_lock *lock);
int sim_free_space(struct env *env, const char *path, uint64_t *bytes);
void sim_read_many(struct env *env, struct file_read *read, size_t n);

/* env_sim_map.c */
void sim_absorb(struct env_sim *sim, struct sim_node *node); /* stores become writes */
void sim_absorb_all(struct env_sim *sim);
/* The maps show what the file's pages hold (refresh), a read what the maps hold. */
void sim_map_refresh(struct sim_node *node, uint64_t offset, uint64_t len);
void sim_map_overlay(const struct sim_node *node, uint64_t offset, void *out, size_t len);
int sim_map(struct file *f, uint64_t offset, size_t len, bool writable, void **out);
void sim_unmap(struct file *f, void *p, size_t len);

/* env_sim_task.c */
void sim_schedule_init(struct env_sim *sim);
void sim_schedule_free(struct env_sim *sim);
void sim_check_thread(struct env_sim *sim);
void sim_preempt(struct env_sim *sim); /* perhaps another runs first */
void sim_advance(struct env_sim *sim, uint64_t ns);
extern const struct env_ops sim_env_ops;

/* Locks as the scheduler sees them: for env_sim_lock.c. */
bool sim_lock_is_ours(void);    /* is this thread a task that runs? */
void sim_lock_preempt(void);    /* perhaps another runs first */
void sim_lock_wait(void *lock); /* until it may be free */
void sim_lock_released(const void *lock);

/* ---- env_sim_follow.c: a journal followed up to a position ---- */

struct sim_item {     /* an unsynced change of a file */
	size_t entry; /* its number in the journal */
	bool data;    /* else of the size alone, or blocks */
	bool failed;  /* a sync of it failed: no later one makes it durable */
	uint32_t sectors;
	uint64_t sector, size; /* size: of the file, afterwards */
};

struct sim_pending { /* what of a node is not durable */
	struct sim_item *item;
	size_t items, item_cap;
	size_t *name; /* a directory's entries in the journal */
	size_t names, name_cap;
	size_t take; /* so many of its names come out */
	size_t file; /* sim_crash: its file unit's number and one, or 0 */
};

struct sim_follow {
	const struct env_sim *sim;
	struct sim_disk disk; /* what is durable */
	struct sim_pending *pending;
	size_t cap, at;
};

void sim_follow_init(struct sim_follow *f, const struct env_sim *sim);
void sim_follow_to(struct sim_follow *f, size_t at); /* not backwards */
void sim_follow_free(struct sim_follow *f);
/* A name that moved between directories moved in both: raises take until that holds. */
void sim_follow_close_names(struct sim_follow *f);
bool sim_follow_names_closed(const struct sim_follow *f);
/* What one side sees of an entry for names. */
void sim_follow_apply_name(const struct sim_entry *e, uint32_t dir, struct sim_dir *d);
void sim_follow_apply_item(const struct sim_follow *f, const struct sim_item *item,
			   struct sim_data *d);

/* ---- env_sim_crash.c: what may come out, and the disk when it has ---- */

struct sim_sector_unit { /* a sector with unsynced versions */
	uint64_t sector;
	size_t first, versions; /* numbers of its file's items in sim_crash.version */
	size_t pick;            /* so manieth version; 0: the durable one */
	/* only these bytes of the picked version, over the one before it */
	uint32_t from, to;
};

struct sim_file_unit { /* a file with unsynced changes */
	uint32_t node;
	size_t pick;         /* the sizes of so many of its items came out */
	size_t first, units; /* its sectors, in sim_crash.sector */
	bool shrinks;        /* some item makes it smaller */
	bool reachable;      /* by the names that came out */
};

struct sim_crash {
	struct sim_follow follow;
	uint32_t *dir; /* directories with unsynced names */
	struct sim_file_unit *file;
	struct sim_sector_unit *sector;
	size_t *version;
	size_t dirs, dir_cap, files, file_cap, sectors, sector_cap, versions, version_cap;
};

struct sim_crash *sim_crash_new(struct env_sim *sim);
void sim_crash_free(struct sim_crash *c);
void sim_crash_seek(struct sim_crash *c, size_t at); /* not backwards; picks nothing */
static inline struct sim_pending *sim_crash_pending(struct sim_crash *c, uint32_t node)
{
	return &c->follow.pending[node];
}
/* Does taking so many items' sizes differ from taking one less? */
bool sim_crash_new_size(const struct sim_crash *c, const struct sim_file_unit *file,
			size_t pick);
/* The picks of a sector that make a difference at its file's picked size, the durable one
 * first; their number. out has room for versions + 1. */
size_t sim_crash_options(const struct sim_crash *c, const struct sim_file_unit *file,
			 const struct sim_sector_unit *unit, size_t *out);
void sim_crash_reach(struct sim_crash *c); /* sets reachable from the names taken */
/* Everything before number `cut` of the journal comes out, and nothing else. */
void sim_crash_pick_prefix(struct sim_crash *c, size_t cut, bool data);
/* The disk of what is picked. */
struct env_sim *sim_crash_build(struct sim_crash *c, uint64_t seed, bool journal);

/* ---- env_sim_choose.c: the ways to lose ---- */

/* Picks what a point says; false when it has no such choice. */
bool sim_crash_choose(struct sim_crash *c, const struct env_sim_point *p);
uint64_t sim_crash_subsets(struct sim_crash *c, uint64_t limit);
bool sim_crash_has_stores(const struct sim_crash *c); /* unsynced ones, by a map */

#endif /* ENV_SIM_INTERNAL_H */
