/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_packed.h - the option of tests that want compressed tables. Where liblz4 is not built in
 * a store refuses to compress, and the tests run without.
 */
#ifndef LSM_PACKED_H
#define LSM_PACKED_H

#ifdef HAVE_LZ4
#define PACKED_CHOICES "none|lz4"
#define PACKED         "compression=lz4"
#else
#define PACKED_CHOICES "none"
#define PACKED         "compression=none"
#endif

#endif /* LSM_PACKED_H */
