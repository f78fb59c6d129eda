/* SPDX-License-Identifier: MIT OR GPL-2.0 WITH Linux-syscall-note */
/*
 * note_ioctl.h - what programs may ask of /dev/note beside read and write.
 */
#ifndef NOTE_IOCTL_H
#define NOTE_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define NOTE_MAX_BYTES 4096

/* What NOTE_INFO fills in. Fields of fixed width, and reserved ones that are zero, so that
 * programs of 32 and 64 bits see the same bytes, and a later version has room. */
struct note_info {
	__u32 bytes;    /* length of the note */
	__u32 capacity; /* longest note there can be */
	__u64 writes;   /* writes since the module was loaded */
	__u64 reserved[2];
};

#define NOTE_INFO  _IOR('N', 1, struct note_info)
#define NOTE_CLEAR _IO('N', 2)

#endif
