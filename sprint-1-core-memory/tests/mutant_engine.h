/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * mutant_engine.h - engines that break one rule each, to test the conformance suite and
 * the histories with.
 *
 * A wrapper around the array engine, which lends it a pretended persistence: closed stores
 * wait in a list until they are opened again or removed.
 */
#ifndef MUTANT_ENGINE_H
#define MUTANT_ENGINE_H

#include "../kv.h"

enum mutant {
	MUTANT_NONE, /* breaks nothing */
	FORGETS_DELETE,
	FORGETS_DELETE_IN_BATCH,
	IGNORES_OVERWRITE,
	KEEPS_TAIL_OF_LONGER_VALUE,
	CUTS_LARGE_VALUES,
	LOSES_EMPTY_VALUES,
	LOSES_EMPTY_KEY,
	ENDS_KEYS_AT_NUL,
	CUTS_LONGEST_KEYS,
	COMPARES_SIGNED,
	COMPARES_LONGER_FIRST,
	KEEPS_POINTERS,
	MISS_LEAVES_LENGTH,
	MISS_IS_NO_ERROR,
	DELETE_OF_ABSENT_FAILS,
	MULTI_GET_LOSES_LAST,
	MULTI_GET_FORGETS_SNAPSHOT,
	BATCH_IN_REVERSE,
	BATCH_STOPS_HALFWAY,
	BATCH_SEEN_IN_PARTS,
	BATCH_FAILS_HALFWAY,
	RANGE_INCLUDES_END,
	RANGE_WITHOUT_END_IS_EMPTY,
	RANGE_EMPTY_END_IS_NO_END,
	RANGE_COMES_LAST_IN_BATCH,
	REFUSES_SYNC_WRITES,
	SEEK_IS_GREATER_THAN,
	SEEK_IGNORES_PLACE_OUTSIDE,
	SKIPS_AFTER_TURN,
	NEW_PREV_IS_FIRST,
	STAYS_PAST_THE_END,
	BLOCK_IGNORES_ITS_LIMIT,
	BLOCK_PASSES_WHAT_HAS_NO_ROOM,
	CURSOR_SEES_WRITES,
	CURSOR_AS_OLD_AS_FIRST_MOVE,
	SNAPSHOT_SEES_LATER_PUTS,
	RELEASE_SPOILS_OTHERS,
	COMPACT_SPOILS_SNAPSHOTS,
	COMPACT_RESURRECTS,
	SYNC_LOSES,
	VERIFY_CRIES_WOLF,
	STATS_REPEAT,
	RECOVERY_NEVER_CLEAN,
	REOPEN_LOSES_LAST,
	REOPEN_LOSES_DELETES,
	OPENS_TWICE,
	OPEN_SPOILS_OUT,
	MAKES_PARENTS,
	BACKUP_MISSES_NEWEST,
	BACKUP_OF_NO_MOMENT,
	BACKUP_SHARES_STORE,
	PUT_AFTER_DELETE_IS_LOST, /* takes two steps to show */
	UNORDERED_REPEATS,        /* of MUTANT_UNORDERED */
	UNORDERED_LOSES_ONE,
	MUTANTS,
};

enum mutant_shape {
	MUTANT_FULL,      /* every capability */
	MUTANT_UNORDERED, /* cursors only forward, in no order that keys explain */
	MUTANT_LOCKING, /* ordered, without snapshots: writes are refused while a cursor is open */
	MUTANT_BARE, /* get, put and delete; keys 1..511, values to 4000 bytes */
};

/* The engine that breaks this rule; one at a time in a process. */
const struct kv_ops *mutant_engine(enum mutant mutant, enum mutant_shape shape);
/* For struct kv_target. */
void mutant_remove_store(const char *dir);

#endif /* MUTANT_ENGINE_H */
