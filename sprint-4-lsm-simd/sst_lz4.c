/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_lz4.c - compression of blocks by liblz4, where there is one. A program that was built
 * without it writes plain blocks and says of others why it can't read them.
 */
#include "sst_format.h"

enum { HEAD = 4, LZ4_RATIO_MAX = 255, LZ4_SLACK = 64 };

size_t sst_plain_bytes(const uint8_t *body, size_t bytes)
{
	size_t plain;

	if (bytes < HEAD)
		return 0;
	plain = port_get_le32(body);
	/* A length is believed only as far as the format could reach: it becomes memory. */
	return plain / LZ4_RATIO_MAX > bytes + LZ4_SLACK ? 0 : plain;
}

#ifdef HAVE_LZ4
#include <lz4.h>

bool sst_can_lz4(void)
{
	return true;
}

size_t sst_compress_bound(size_t bytes)
{
	return HEAD + bytes;
}

size_t sst_compress(const uint8_t *in, size_t bytes, uint8_t *out)
{
	size_t room = bytes - bytes / 8;
	int n;

	if (bytes > LZ4_MAX_INPUT_SIZE || room <= HEAD)
		return 0;
	n = LZ4_compress_default((const char *)in, (char *)out + HEAD, (int)bytes,
				 (int)(room - HEAD));
	if (n <= 0)
		return 0;
	port_put_le32(out, (uint32_t)bytes);
	return HEAD + (size_t)n;
}

int sst_decompress(const uint8_t *body, size_t bytes, uint8_t *out, size_t plain)
{
	int n;

	if (bytes < HEAD || bytes > INT_MAX || plain > INT_MAX)
		return -EBADMSG;
	n = LZ4_decompress_safe((const char *)body + HEAD, (char *)out,
				(int)(bytes - HEAD), (int)plain);
	return n >= 0 && (size_t)n == plain ? 0 : -EBADMSG;
}

#else

bool sst_can_lz4(void)
{
	return false;
}

size_t sst_compress_bound(size_t bytes)
{
	return bytes;
}

size_t sst_compress(const uint8_t *in, size_t bytes, uint8_t *out)
{
	(void)in;
	(void)bytes;
	(void)out;
	return 0;
}

int sst_decompress(const uint8_t *body, size_t bytes, uint8_t *out, size_t plain)
{
	(void)body;
	(void)bytes;
	(void)out;
	(void)plain;
	return -EOPNOTSUPP;
}
#endif
