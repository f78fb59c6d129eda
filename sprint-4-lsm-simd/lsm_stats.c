/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_stats.c - what the store has done and what it looks like: bytes by purpose, amplification
 * by level and whole, caches, stalls by cause.
 *
 * Write amplification is what was written to files, the log included, for each byte that
 * writers gave; space amplification what tables and blob files take for each byte of the last
 * level, which has nothing twice. Both in hundredths.
 */
#include "lsm_store.h"

struct out {
	kv_stat_fn *emit;
	void *arg;
};

static void emit(const struct out *o, const char *name, uint64_t value)
{
	o->emit(o->arg, name, value);
}

static uint64_t hundredths(uint64_t part, uint64_t whole)
{
	return whole ? part * 100 / whole : 0;
}

static void write_stats(struct lsm_store *s, const struct out *o)
{
	uint64_t given = port_load_relaxed(&s->stat_write_bytes),
		 flushed = port_load_relaxed(&s->stat_flush_bytes),
		 compacted = port_load_relaxed(&s->stat_written_bytes),
		 blobs = port_load_relaxed(&s->stat_blob_bytes);

	emit(o, "writes", port_load_relaxed(&s->stat_writes));
	emit(o, "write_bytes", given);
	emit(o, "flushes", port_load_relaxed(&s->stat_flushes));
	emit(o, "flush_bytes", flushed);
	emit(o, "flush_ns", port_load_relaxed(&s->stat_flush_ns));
	emit(o, "compactions", port_load_relaxed(&s->stat_compactions));
	emit(o, "trivial_moves", port_load_relaxed(&s->stat_moves));
	emit(o, "compaction_read_bytes", port_load_relaxed(&s->stat_read_bytes));
	emit(o, "compaction_written_bytes", compacted);
	emit(o, "compaction_dropped", port_load_relaxed(&s->stat_dropped));
	emit(o, "compaction_ns", port_load_relaxed(&s->stat_compaction_ns));
	emit(o, "compactions_excluded", port_load_relaxed(&s->stat_excluded));
	emit(o, "blob_written_bytes", blobs);
	emit(o, "blobs_rewritten", port_load_relaxed(&s->stat_blobs_rewritten));
	emit(o, "write_amplification_x100",
	     hundredths(given + flushed + compacted + blobs, given));
	emit(o, "write_delays", port_load_relaxed(&s->stat_delays));
	emit(o, "write_delay_ns", port_load_relaxed(&s->stat_delay_ns));
	emit(o, "write_stalls", port_load_relaxed(&s->stat_stalls));
	emit(o, "write_stall_ns", port_load_relaxed(&s->stat_stall_ns));
}

static void shape_stats(const struct lsm_version *v, const struct out *o)
{
	uint64_t last = 0, runs = 0, entries = 0;
	unsigned int level;
	size_t r, t;

	for (level = 0; level < LSM_LEVELS; level++) {
		const struct lsm_level *l = &v->level[level];

		for (r = 0; r < l->runs; r++)
			for (t = 0; t < l->run[r].tables; t++)
				entries += l->run[r].table[t]->summary.entries;
		runs += l->runs;
		if (l->runs)
			last = l->run[l->runs - 1].bytes;
	}
	emit(o, "table_entries", entries);
	/* A get may look into each, but for its filter. */
	emit(o, "read_amplification_runs", runs);
	emit(o, "space_amplification_x100", hundredths(v->bytes, last));
}

static void cache_stats(struct lsm_store *s, const struct out *o)
{
	struct lsm_cache_stats c;
	uint64_t locked;

	lsm_cache_stats(s->cache, &c);
	emit(o, "block_cache_bytes", c.bytes);
	emit(o, "block_cache_hits", c.hits);
	emit(o, "block_cache_misses", c.misses);
	emit(o, "block_cache_evictions", c.evictions);
	locked = c.locked_bytes;
	if (s->records) {
		lsm_records_stats(s->records, &c);
		emit(o, "record_cache_bytes", c.bytes);
		emit(o, "record_cache_hits", c.hits);
		emit(o, "record_cache_misses", c.misses);
		emit(o, "record_cache_evictions", c.evictions);
		locked += c.locked_bytes;
	}
	emit(o, "locked_bytes", locked);
}

void lsm_stats(struct kv *kv, kv_stat_fn *fn, void *arg)
{
	struct lsm_store *s = lsm_store(kv);
	const struct out o = { fn, arg };
	struct lsm_view *view;
	uint64_t sequence, mem_bytes = 0, mem_entries = 0;
	unsigned int i;

	view = lsm_view_take(s, &sequence);
	for (i = 0; i < view->mems; i++) {
		mem_bytes += lsm_memtable_bytes(view->mem[i]->table);
		mem_entries += lsm_memtable_entries(view->mem[i]->table);
	}
	emit(&o, "memtables", view->mems);
	emit(&o, "memtable_bytes", mem_bytes);
	emit(&o, "memtable_entries", mem_entries);
	emit(&o, "memtable_memory_bytes", lsm_memory_bytes(s->memory));
	write_stats(s, &o);
	shape_stats(view->version, &o);
	cache_stats(s, &o);
	lsm_view_leave(view);
	port_mutex_lock(&s->snapshot_lock);
	emit(&o, "snapshots", s->snapshots);
	port_mutex_unlock(&s->snapshot_lock);
	emit(&o, "memtable_hits", port_load_relaxed(&s->stat_mem_hits));
	emit(&o, "stopped", (uint64_t)-port_load_relaxed(&s->stopped));
	emit(&o, "reserve_bytes", lsm_reserve_is_held(s) ? s->reserve_bytes : 0);
	port_mutex_lock(&s->task_lock);
	emit(&o, "tight", port_load_relaxed(&s->tight));
	emit(&o, "tight_times", port_load_relaxed(&s->stat_tight));
	emit(&o, "flush_error", (uint64_t)-s->flush_error);
	emit(&o, "compaction_error", (uint64_t)-s->compaction_error);
	port_mutex_unlock(&s->task_lock);
	lsm_versions_stats(s->versions, fn, arg);
	emit(&o, "segment_bytes", log_file_bytes(s->log));
	log_stats(s->log, fn, arg);
	env_stats(s->base.env, fn, arg);
}
