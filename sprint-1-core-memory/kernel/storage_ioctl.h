/* SPDX-License-Identifier: MIT OR GPL-2.0 WITH Linux-syscall-note */
/*
 * storage_ioctl.h - how a program talks to /dev/storage-array, -hash, -btree and -lsm.
 *
 * Three ways in, of the same operations: a call each (PUT, GET, DELETE), many in one call
 * (BATCH), and a ring in shared memory with a doorbell (RING_SETUP, mmap(2), RING_ENTER).
 *
 * A call returns 0 or sets errno to the error that kv.h knows. Every struct has its version
 * first; reserved fields and flags that have no meaning must be zero, or the call is -EINVAL.
 * The layout is the same for programs of 32 and of 64 bits. All calls may come from several
 * threads.
 */
#ifndef STORAGE_IOCTL_H
#define STORAGE_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define STORAGE_VERSION 1

enum storage_code {
	STORAGE_NOP,
	STORAGE_GET,
	STORAGE_PUT,
	STORAGE_DELETE,       /* of what is not there is no error */
	STORAGE_DELETE_RANGE, /* [key, value), or to the end with STORAGE_TO_END */
};

enum storage_op_flags {
	STORAGE_NONE = 0, /* a write's durability: kv.h's three levels */
	STORAGE_GROUP = 1,
	STORAGE_SYNC = 2,
	STORAGE_DURABILITY = 3, /* mask */
	STORAGE_TO_END = 4,
};

/* One operation. Addresses are the program's; in a ring they are offsets in the arena. */
struct storage_op {
	__u16 version;
	__u8 code;
	__u8 flags;
	__u32 key_len;
	__u64 key;
	__u64 value;     /* put: the bytes; get: where they go; delete range: its end */
	__u64 value_len; /* get: the room there, and on return the value's length */
	__u32 snapshot;  /* get: a handle, or 0 for the newest state */
	__s32 result;    /* out: 0 or -errno; -EMSGSIZE: the value has no room */
	__u64 user_data; /* comes back with a ring's completion */
	__u64 reserved[2];
};

enum storage_batch_flags {
	STORAGE_ATOMIC = 1 << 0, /* writes alone, all or none, seen together */
};

/* Many operations. Without STORAGE_ATOMIC each stands alone and has its own result; of each
 * STORAGE_TOGETHER from the first on, gets that follow each other are answered from one
 * state. A signal may end it early: see done. */
struct storage_batch {
	__u16 version;
	__u16 flags;
	__u32 n;          /* at most STORAGE_BATCH_MAX */
	__u64 ops;        /* address of n struct storage_op */
	__u32 durability; /* of an atomic batch; else 0 */
	__u32 done;       /* out: operations that have a result */
	__u64 reserved[2];
};

#define STORAGE_BATCH_MAX 4096
#define STORAGE_TOGETHER  64

/* A snapshot or a cursor: a number that means something to this descriptor alone, and that
 * ends with it. */
struct storage_handle {
	__u16 version;
	__u16 flags; /* 0 */
	__u32 handle;
	__u64 reserved;
};

#define STORAGE_HANDLES_MAX 256 /* of a descriptor */

enum storage_scan_flags {
	STORAGE_SEEK =
		1 << 0, /* go to the first key >= from; else go on from where it is */
	STORAGE_BACKWARD = 1 << 1, /* after a seek: the keys below from */
	STORAGE_BOUND = 1 << 2,    /* end before to (backward: before keys below to) */
	STORAGE_ONCE = 1 << 3,     /* the cursor ends with this call */
	STORAGE_STAY = 1 << 4,     /* makes a cursor, which stands outside, and no more */
	STORAGE_ARENA =
		1 << 5, /* out is an offset in the arena of this descriptor's ring */
};

enum storage_scan_state {
	STORAGE_END =
		1
		<< 0, /* no more pairs this way; the cursor stands outside, as kv.h says */
	STORAGE_AT_BOUND = 1 << 1, /* the next pair is beyond the bound */
};

/* Moves a cursor on and copies the pairs that it comes to. Each pair is a struct
 * storage_pair, its key, its value, and zeros up to a multiple of 8. */
struct storage_scan {
	__u16 version;
	__u16 flags;
	__u32 limit;    /* pairs; 0: as many as there is room for */
	__u32 cursor;   /* a handle, or 0 for a new one, which is set here */
	__u32 snapshot; /* of a new cursor; 0: the newest state */
	__u64 from;
	__u64 to;
	__u32 from_len;
	__u32 to_len;
	__u64 out;
	__u64 out_len; /* room, and on return what is used; with -EMSGSIZE what the next pair needs */
	__u32 count; /* out: pairs */
	__u32 state; /* out: enum storage_scan_state */
	__u64 reserved[2];
};

struct storage_pair {
	__u32 key_len;
	__u32 reserved;
	__u64 value_len;
};

/* SYNC, CLEAR (deletes all pairs), COMPACT, VERIFY. */
struct storage_control {
	__u16 version;
	__u16 flags; /* 0 */
	__u32 reserved;
	char why[256]; /* out, of a failed VERIFY: a sentence */
};

struct storage_stat {
	char name[56];
	__u64 value;
};

struct storage_stats {
	__u16 version;
	__u16 flags; /* 0 */
	__u32 n;     /* room for so many; on return how many there are, perhaps more */
	__u64 stats; /* address of n struct storage_stat */
	__u64 reserved;
};

struct storage_info {
	__u16 version;
	__u16 flags; /* 0 */
	__u32 caps;  /* enum kv_cap */
	__u64 key_min;
	__u64 key_max;
	__u64 value_max;
	char engine[16];
	__u64 generation; /* another number after each CLEAR, and after loading */
	__u64 reserved[3];
};

/*
 * The ring. One mapping from offset 0: struct storage_ring, at sq_offset the operations
 * that are submitted, at cq_offset what became of them, at arena_offset the bytes of keys and
 * values. Indices only rise, modulo 2^32; an entry's place is its index & (entries - 1).
 *
 * The program writes operations at sq_tail, then sq_tail, then rings: RING_ENTER takes the
 * number of operations to do as its argument and returns how many were. Completions come in the
 * order of operations, at cq_tail; the program raises cq_head when it has seen them. Where they
 * have no room the rest waits. A descriptor with O_NONBLOCK does not wait for the operations: a
 * kernel thread does them, and poll(2) tells of completions (POLLIN) and of room (POLLOUT).
 */
struct storage_ring {
	__u32 sq_tail; /* the program's */
	__u32 pad0[15];
	__u32 cq_head; /* the program's */
	__u32 pad1[15];
	__u32 sq_head; /* the kernel's, which does not believe what it finds here */
	__u32 cq_tail;
	__u32 pad2[14];
};

struct storage_completion {
	__u64 user_data;
	__u64 value_len;
	__s32 result;
	__u32 reserved[3];
};

struct storage_ring_setup {
	__u16 version;
	__u16 flags;       /* 0 */
	__u32 entries;     /* a power of two up to STORAGE_RING_MAX */
	__u64 arena_bytes; /* up to STORAGE_ARENA_MAX */
	__u64 sq_offset;   /* out, as the rest */
	__u64 cq_offset;
	__u64 arena_offset;
	__u64 map_bytes;
	__u64 reserved[2];
};

#define STORAGE_RING_MAX  4096
#define STORAGE_ARENA_MAX (16 << 20)

#define STORAGE_IOC_NULL       _IO('K', 0x40) /* does nothing: what a crossing costs */
#define STORAGE_IOC_INFO       _IOWR('K', 0x41, struct storage_info)
#define STORAGE_IOC_PUT        _IOWR('K', 0x42, struct storage_op)
#define STORAGE_IOC_GET        _IOWR('K', 0x43, struct storage_op)
#define STORAGE_IOC_DELETE     _IOWR('K', 0x44, struct storage_op) /* a range too */
#define STORAGE_IOC_BATCH      _IOWR('K', 0x45, struct storage_batch)
#define STORAGE_IOC_SCAN       _IOWR('K', 0x46, struct storage_scan)
#define STORAGE_IOC_SNAPSHOT   _IOWR('K', 0x47, struct storage_handle)
#define STORAGE_IOC_RELEASE    _IOW('K', 0x48, struct storage_handle) /* a cursor too */
#define STORAGE_IOC_STATS      _IOWR('K', 0x49, struct storage_stats)
#define STORAGE_IOC_SYNC       _IOWR('K', 0x4a, struct storage_control)
#define STORAGE_IOC_CLEAR      _IOWR('K', 0x4b, struct storage_control)
#define STORAGE_IOC_COMPACT    _IOWR('K', 0x4c, struct storage_control)
#define STORAGE_IOC_VERIFY     _IOWR('K', 0x4d, struct storage_control)
#define STORAGE_IOC_RING_SETUP _IOWR('K', 0x4e, struct storage_ring_setup)
#define STORAGE_IOC_RING_ENTER _IO('K', 0x4f) /* the argument: operations to do */

#endif /* STORAGE_IOCTL_H */
