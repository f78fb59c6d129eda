/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_crc32c.c - CRC32C (Castagnoli): by the processor's instruction where it has one,
 * else by tables.
 *
 * The tables are slicing-by-8 (Kounavis and Berry, "Novel Table Lookup-Based Algorithms
 * for High-Performance CRC Generation", 2008): eight bytes a step, one look-up each. The
 * choice is made once; both give the same sums, and the tests compare them.
 */
#include "port_crc32c.h"

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#elif defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { POLYNOMIAL = 0x82f63b78 }; /* reflected */

static uint32_t table[8][256];

static void make_tables(void)
{
	uint32_t i, k, crc;

	for (i = 0; i < 256; i++) {
		crc = i;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
		table[0][i] = crc;
	}
	for (i = 0; i < 256; i++)
		for (k = 1; k < 8; k++)
			table[k][i] =
				table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

uint32_t port_crc32c_tables(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint32_t low = port_get_le32(p) ^ crc, high = port_get_le32(p + 4);

		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^
		      table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
		      table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
		      table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
	}
	for (; n; n--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__aarch64__)

bool port_crc32c_has_instruction(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

__attribute__((target("+crc"))) uint32_t
port_crc32c_instruction(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t word;

	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		crc = __crc32cd(crc, word);
	}
	if (n & 4) {
		crc = __crc32cw(crc, port_get_le32(p));
		p += 4;
	}
	if (n & 2) {
		crc = __crc32ch(crc, port_get_le16(p));
		p += 2;
	}
	if (n & 1)
		crc = __crc32cb(crc, *p);
	return ~crc;
}

#elif defined(__x86_64__)

bool port_crc32c_has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t
port_crc32c_instruction(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t sum = ~crc, word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		sum = _mm_crc32_u64(sum, word);
	}
	crc = (uint32_t)sum;
	if (n & 4) {
		crc = _mm_crc32_u32(crc, port_get_le32(p));
		p += 4;
	}
	if (n & 2) {
		crc = _mm_crc32_u16(crc, port_get_le16(p));
		p += 2;
	}
	if (n & 1)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}

#else

bool port_crc32c_has_instruction(void)
{
	return false;
}

uint32_t port_crc32c_instruction(uint32_t crc, const void *data, size_t n)
{
	return port_crc32c_tables(crc, data, n);
}

#endif

static uint32_t (*chosen)(uint32_t crc, const void *p, size_t n);

__attribute__((constructor)) static void choose(void)
{
	make_tables();
	chosen = port_crc32c_has_instruction() ? port_crc32c_instruction
					       : port_crc32c_tables;
}

uint32_t port_crc32c(uint32_t crc, const void *p, size_t n)
{
	return chosen(crc, p, n);
}
