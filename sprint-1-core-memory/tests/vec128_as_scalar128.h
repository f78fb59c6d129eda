/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128_as_scalar128.h - the vectors in plain C under other names, so that they and those of
 * the machine stand side by side. Before vec128.h.
 */
#ifndef VEC128_AS_SCALAR128_H
#define VEC128_AS_SCALAR128_H

#include "../port.h"

#define vec128             scalar128
#define vec128_load        scalar128_load
#define vec128_store       scalar128_store
#define vec128_splat8      scalar128_splat8
#define vec128_splat32     scalar128_splat32
#define vec128_and         scalar128_and
#define vec128_or          scalar128_or
#define vec128_xor         scalar128_xor
#define vec128_add8        scalar128_add8
#define vec128_add32       scalar128_add32
#define vec128_equal8      scalar128_equal8
#define vec128_equal32     scalar128_equal32
#define vec128_min8        scalar128_min8
#define vec128_max8        scalar128_max8
#define vec128_mask8       scalar128_mask8
#define vec128_less32_mask scalar128_less32_mask
#define vec128_is_zero     scalar128_is_zero
#define vec128_scalar_word scalar128_word
#define vec128_zero_bytes  scalar128_zero_bytes
#include "../vec128_scalar.h"
#undef vec128
#undef vec128_load
#undef vec128_load_aligned
#undef vec128_store
#undef vec128_store_aligned
#undef vec128_splat8
#undef vec128_splat32
#undef vec128_and
#undef vec128_or
#undef vec128_xor
#undef vec128_add8
#undef vec128_add32
#undef vec128_equal8
#undef vec128_equal32
#undef vec128_min8
#undef vec128_max8
#undef vec128_mask8
#undef vec128_less32_mask
#undef vec128_is_zero
#undef vec128_scalar_word
#undef vec128_zero_bytes
#undef VEC128_SCALAR_H

#endif /* VEC128_AS_SCALAR128_H */
