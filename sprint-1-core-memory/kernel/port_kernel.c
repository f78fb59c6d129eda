// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * port_kernel.c - port.h's and port_range.h's words in the kernel that are no macros.
 *
 * Modules cannot reserve addresses without memory behind them: what does that is not exported.
 * So a range here is memory from the start, and a limit keeps it small: port_range_limit bytes
 * for each, which the module's parameter sets, or the least that the caller can do with.
 * Nothing is given back before its end.
 */
#include <linux/crc32.h>
#include <linux/crc32c.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "../port_crc32c.h"
#include "../port_range.h"

#define PORT_GFP (GFP_KERNEL_ACCOUNT | __GFP_NOWARN)

/* Up to this many bytes memory is asked for in one physical piece alone. */
enum { PORT_EASY = 2 * PAGE_SIZE };

static unsigned long port_range_limit = 64ul << 20;
module_param(port_range_limit, ulong, 0644);
MODULE_PARM_DESC(
	port_range_limit,
	"bytes that an array of reserved addresses may take; it takes them when a store is opened (default 64 MiB)");

void *port_alloc(size_t n)
{
	/* EXERCISE 3.9 begin: in one piece where that is easy, else page by page
	 *|	return NULL;
	 */
	void *p;

	if (n <= PORT_EASY)
		return kmalloc(n ? n : 1, PORT_GFP | __GFP_RETRY_MAYFAIL);
	if (n <= KMALLOC_MAX_SIZE) {
		p = kmalloc(n, PORT_GFP | __GFP_NORETRY);
		if (p)
			return p;
	}
	return __vmalloc(n, PORT_GFP | __GFP_RETRY_MAYFAIL);
	/* EXERCISE 3.9 end */
}

void *port_realloc(void *p, size_t old, size_t n)
{
	/* EXERCISE 3.9 begin: another block; the old one stays when there is none
	 *|	return NULL;
	 */
	void *grown = port_alloc(n);

	if (!grown)
		return NULL;
	if (p)
		memcpy(grown, p, min(old, n));
	kvfree(p);
	return grown;
	/* EXERCISE 3.9 end */
}

void port_free(void *p)
{
	kvfree(p);
}

/* What port_free_aligned() gets stands behind the address to free. */
static void *align_within(void *raw, size_t align)
{
	/* EXERCISE 3.9 begin: an aligned address, with raw behind it
	 *|	return NULL;
	 */
	void **p;

	if (!raw)
		return NULL;
	p = PTR_ALIGN(raw + sizeof(*p), align);
	p[-1] = raw;
	return p;
	/* EXERCISE 3.9 end */
}

void *port_alloc_aligned(size_t align, size_t n)
{
	/* EXERCISE 3.9 begin: enough that align_within() has room for both
	 *|	return NULL;
	 */
	size_t all;

	align = max(align, sizeof(void *));
	if (check_add_overflow(n, align + sizeof(void *), &all))
		return NULL;
	return align_within(port_alloc(all), align);
	/* EXERCISE 3.9 end */
}

void port_free_aligned(void *p)
{
	if (p)
		kvfree(((void **)p)[-1]);
}

/* Two megabytes in one piece lie aligned, and in the kernel's own large pages. */
void *port_alloc_huge(size_t n)
{
	size_t all;

	if (n == PORT_HUGE_BYTES && n <= KMALLOC_MAX_SIZE) {
		void *p = kmalloc(n, PORT_GFP | __GFP_NORETRY);

		if (p && IS_ALIGNED((unsigned long)p, PORT_HUGE_BYTES))
			return p;
		kfree(p);
	}
	if (check_add_overflow(n, (size_t)PORT_HUGE_BYTES, &all))
		return NULL;
	return align_within(vmalloc_huge(all, PORT_GFP | __GFP_RETRY_MAYFAIL),
			    PORT_HUGE_BYTES);
}

void port_free_huge(void *p, size_t n)
{
	(void)n;
	if (!p)
		return;
	if (is_vmalloc_addr(p))
		port_free_aligned(p);
	else
		kfree(p);
}

/*
 * Records are short, and crc32c() goes through the crypto layer, which costs more than they do.
 * Their instruction needs no vector registers, so it may be used anywhere: on arm64
 * __crc32c_le() is made of it. Long pieces are the crypto layer's, which knows better ways.
 */
enum { CRC_SHORT = 1024 };

#ifdef CONFIG_X86_64

static bool short_crc(uint32_t *crc, const u8 *p, size_t n)
{
	u64 c = *crc;

	if (n > CRC_SHORT || !boot_cpu_has(X86_FEATURE_XMM4_2))
		return false;
	for (; n >= sizeof(u64); n -= sizeof(u64), p += sizeof(u64))
		asm("crc32q %1, %0" : "+r"(c) : "rm"(get_unaligned((const u64 *)p)));
	for (; n; n--, p++)
		asm("crc32b %1, %0" : "+r"(c) : "rm"(*p));
	*crc = (uint32_t)c;
	return true;
}

#else

static bool short_crc(uint32_t *crc, const u8 *p, size_t n)
{
	if (n > CRC_SHORT || !IS_ENABLED(CONFIG_ARM64))
		return false;
	*crc = __crc32c_le(*crc, p, n);
	return true;
}

#endif

uint32_t port_crc32c(uint32_t crc, const void *p, size_t n)
{
	const u8 *at = p;

	crc = ~crc;
	if (short_crc(&crc, at, n))
		return ~crc;
	for (; n > UINT_MAX; n -= SZ_1G, at += SZ_1G)
		crc = crc32c(crc, at, SZ_1G);
	return ~crc32c(crc, at, n);
}

/* The kernel chooses the way; hash functions of CRCs take the plain one. */
bool port_crc32c_has_instruction(void)
{
	return false;
}

uint32_t port_crc32c_tables(uint32_t crc, const void *p, size_t n)
{
	return ~__crc32c_le(~crc, p, n);
}

/* ---- ranges ---- */

int port_range_reserve(struct port_range *r, uint64_t most, uint64_t least,
		       unsigned int flags)
{
	uint64_t limit =
		round_up((uint64_t)READ_ONCE(port_range_limit), PORT_RANGE_ALIGN);
	uint64_t bytes;

	memset(r, 0, sizeof(*r));
	least = max_t(uint64_t, round_up(least, PORT_RANGE_ALIGN), PORT_RANGE_ALIGN);
	bytes = max(round_up(min(most, limit), PORT_RANGE_ALIGN), least);
	for (; bytes >= least; bytes = round_up(bytes / 2, PORT_RANGE_ALIGN)) {
		r->raw_bytes = bytes + PORT_RANGE_ALIGN;
		r->raw = vmalloc_huge(r->raw_bytes,
				      PORT_GFP | __GFP_RETRY_MAYFAIL | __GFP_ZERO);
		if (r->raw || bytes == PORT_RANGE_ALIGN)
			break;
	}
	if (!r->raw) {
		memset(r, 0, sizeof(*r));
		return -ENOMEM;
	}
	r->base = PTR_ALIGN(r->raw, PORT_RANGE_ALIGN);
	r->bytes = bytes;
	r->flags = flags;
	return 0;
}

int port_range_grow(struct port_range *r, uint64_t bytes)
{
	if (bytes > r->bytes)
		return -ENOSPC;
	if (bytes > r->ready)
		WRITE_ONCE(r->ready, min(round_up(bytes, PORT_RANGE_ALIGN), r->bytes));
	return 0;
}

void port_range_populate(struct port_range *r, uint64_t from, uint64_t to)
{
	(void)r;
	(void)from;
	(void)to;
}

void port_range_discard(struct port_range *r, uint64_t from, uint64_t to)
{
	from = round_up(from, PAGE_SIZE);
	to = round_down(to, PAGE_SIZE);
	if (from < to)
		memset(r->base + from, 0, to - from);
}

void port_range_small(struct port_range *r)
{
	(void)r;
}

void port_range_release(struct port_range *r)
{
	vfree(r->raw);
	memset(r, 0, sizeof(*r));
}

bool port_range_is_free(void)
{
	return false;
}

size_t port_range_unit(void)
{
	return PAGE_SIZE;
}
