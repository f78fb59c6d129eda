/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * liblz4's two functions as the engines call them, on the kernel's: its compressor wants the
 * memory for its table from the caller. No memory: 0, as when the bytes do not compress.
 */
#include <linux/lz4.h>

static inline int port_lz4_compress(const char *in, char *out, int bytes, int room)
{
	void *table = port_alloc(LZ4_MEM_COMPRESS);
	int n = table ? LZ4_compress_default(in, out, bytes, room, table) : 0;

	port_free(table);
	return n;
}

#define LZ4_compress_default(in, out, bytes, room) port_lz4_compress(in, out, bytes, room)
