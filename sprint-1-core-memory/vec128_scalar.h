/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * vec128_scalar.h - vec128.h in plain C: what the other two must equal, and what the kernel's
 * modules use, which have no vectors. So what searches are made of takes eight bytes at a
 * time, as one word of 64 bits with byte 0 lowest (Lamport, "Multiple byte processing with
 * full-word instructions", 1975).
 */
#ifndef VEC128_SCALAR_H
#define VEC128_SCALAR_H

typedef union {
	_Alignas(16) uint8_t b[16];
	uint64_t w[2];
} vec128;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte 0 is a word's lowest");

#define VEC128_EACH_BYTE(b) ((uint64_t)(b)*0x0101010101010101u)

static inline vec128 vec128_load(const void *p)
{
	vec128 v = { { 0 } };

	memcpy(v.b, p, 16);
	return v;
}

static inline void vec128_store(void *p, vec128 v)
{
	memcpy(p, v.b, 16);
}

#define vec128_load_aligned  vec128_load
#define vec128_store_aligned vec128_store

static inline vec128 vec128_splat8(uint8_t b)
{
	vec128 v;

	v.w[0] = v.w[1] = VEC128_EACH_BYTE(b);
	return v;
}

#define VEC128_WORDS(name, expression)                \
	static inline vec128 name(vec128 x, vec128 y) \
	{                                             \
		vec128 v;                             \
		int i;                                \
                                                      \
		for (i = 0; i < 2; i++) {             \
			uint64_t a = x.w[i];          \
			uint64_t b = y.w[i];          \
                                                      \
			v.w[i] = (expression);        \
		}                                     \
		return v;                             \
	}

/* All ones in each byte of d that is zero: adding carries into the highest bit of all others,
 * and into no other byte. */
static inline uint64_t vec128_zero_bytes(uint64_t d)
{
	const uint64_t low = VEC128_EACH_BYTE(0x7f);
	uint64_t zero = ~(((d & low) + low) | d | low) >> 7;

	return (zero << 8) - zero;
}

VEC128_WORDS(vec128_and, a &b)
VEC128_WORDS(vec128_or, a | b)
VEC128_WORDS(vec128_xor, a ^ b)
VEC128_WORDS(vec128_equal8, vec128_zero_bytes(a ^ b))
#undef VEC128_WORDS

static inline vec128 vec128_splat32(uint32_t w)
{
	vec128 v = { { 0 } };
	int i;

	for (i = 0; i < 4; i++)
		memcpy(v.b + 4 * i, &w, 4);
	return v;
}

#define VEC128_BYTES(name, expression)                  \
	static inline vec128 name(vec128 x, vec128 y)   \
	{                                               \
		vec128 v;                               \
		int i;                                  \
                                                        \
		for (i = 0; i < 16; i++) {              \
			uint8_t a = x.b[i], b = y.b[i]; \
                                                        \
			v.b[i] = (uint8_t)(expression); \
		}                                       \
		return v;                               \
	}

VEC128_BYTES(vec128_add8, a + b)
VEC128_BYTES(vec128_min8, a < b ? a : b)
VEC128_BYTES(vec128_max8, a > b ? a : b)
#undef VEC128_BYTES

static inline uint32_t vec128_scalar_word(vec128 v, int i)
{
	uint32_t w;

	memcpy(&w, v.b + 4 * i, 4);
	return w;
}

static inline vec128 vec128_add32(vec128 x, vec128 y)
{
	vec128 v = { { 0 } };
	int i;

	for (i = 0; i < 4; i++) {
		uint32_t w = vec128_scalar_word(x, i) + vec128_scalar_word(y, i);

		memcpy(v.b + 4 * i, &w, 4);
	}
	return v;
}

static inline vec128 vec128_equal32(vec128 x, vec128 y)
{
	vec128 v = { { 0 } };
	int i;

	for (i = 0; i < 4; i++)
		memset(v.b + 4 * i,
		       vec128_scalar_word(x, i) == vec128_scalar_word(y, i) ? 0xff : 0,
		       4);
	return v;
}

static inline uint32_t vec128_mask8(vec128 v)
{
	/* EXERCISE 1.4 begin: bit i of the result is the highest bit of byte i
	 *|	return 0;
	 */
	uint32_t mask = 0;
	int i;

	/* The factor moves bit 8k, for each k, to bit 56 + k. */
	for (i = 0; i < 2; i++) {
		uint64_t high = v.w[i] >> 7 & VEC128_EACH_BYTE(1);

		mask |= (uint32_t)(high * 0x0102040810204080u >> 56) << 8 * i;
	}
	return mask;
	/* EXERCISE 1.4 end */
}

static inline uint32_t vec128_less32_mask(vec128 x, vec128 y)
{
	/* EXERCISE 1.4 begin: bit i is set where unsigned word i of x is less than that of y
	 *|	return 0;
	 */
	uint32_t mask = 0;
	int i;

	for (i = 0; i < 4; i++)
		mask |= (uint32_t)(vec128_scalar_word(x, i) < vec128_scalar_word(y, i))
			<< i;
	return mask;
	/* EXERCISE 1.4 end */
}

static inline bool vec128_is_zero(vec128 v)
{
	return !(v.w[0] | v.w[1]);
}

#endif /* VEC128_SCALAR_H */
