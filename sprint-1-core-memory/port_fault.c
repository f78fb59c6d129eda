/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * port_fault.c - port.h's allocator for tests: counts what is alive, and fails on demand.
 *
 * A test runs its scenario with the first allocation failing, then the second, and so on
 * until none fails any more: so every path of "out of memory" is walked.
 */
#include "port_fault.h"
#include "port_range.h"

struct header {    /* in front of each allocation, keeps its alignment */
	void *raw; /* what malloc gave */
	size_t n;
};

static struct {
	uint64_t left; /* allocations until one fails; 0: none will */
	bool once, fired;
	uint64_t live, live_bytes, calls;
} state;

static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;

void port_fault_set(uint64_t nth, bool once)
{
	pthread_mutex_lock(&state_lock);
	state.left = nth;
	state.once = once;
	state.fired = false;
	pthread_mutex_unlock(&state_lock);
}

/* Counts one call; false when it must fail. */
bool port_memory_admit(void)
{
	bool fail = false;

	pthread_mutex_lock(&state_lock);
	state.calls++;
	if (state.left) {
		fail = state.left == 1;
		if (!fail || state.once)
			state.left--;
		state.fired |= fail;
	}
	pthread_mutex_unlock(&state_lock);
	return !fail;
}

void port_memory_count(int64_t allocations, int64_t bytes)
{
	pthread_mutex_lock(&state_lock);
	state.live += (uint64_t)allocations;
	state.live_bytes += (uint64_t)bytes;
	pthread_mutex_unlock(&state_lock);
}

static uint64_t read_locked(const uint64_t *p)
{
	uint64_t v;

	pthread_mutex_lock(&state_lock);
	v = *p;
	pthread_mutex_unlock(&state_lock);
	return v;
}

bool port_fault_fired(void)
{
	bool fired;

	pthread_mutex_lock(&state_lock);
	fired = state.fired;
	pthread_mutex_unlock(&state_lock);
	return fired;
}

uint64_t port_fault_live(void)
{
	return read_locked(&state.live);
}

uint64_t port_fault_live_bytes(void)
{
	return read_locked(&state.live_bytes);
}

uint64_t port_fault_calls(void)
{
	return read_locked(&state.calls);
}

void *port_alloc_aligned(size_t align, size_t n)
{
	struct header *h;
	char *raw, *p;
	size_t slack;

	if (align < sizeof(*h))
		align = sizeof(*h);
	/* What malloc gives is aligned for a header. Where that is enough, the block ends where
	 * malloc's does, and AddressSanitizer sees the first byte beyond. */
	slack = align > sizeof(*h) ? align : 0;
	if (!port_memory_admit() || n > SIZE_MAX - slack - sizeof(*h))
		return NULL;
	raw = malloc(n + slack + sizeof(*h));
	if (!raw)
		return NULL;
	p = (char *)(((uintptr_t)raw + sizeof(*h) + align - 1) & ~(uintptr_t)(align - 1));
	h = (struct header *)p - 1;
	h->raw = raw;
	h->n = n;
	port_memory_count(1, (int64_t)n);
	return p;
}

void port_free_aligned(void *p)
{
	struct header *h;

	if (!p)
		return;
	h = (struct header *)p - 1;
	port_memory_count(-1, -(int64_t)h->n);
	free(h->raw);
}

void *port_alloc_huge(size_t n)
{
	return port_alloc_aligned(PORT_HUGE_BYTES, n);
}

void port_free_huge(void *p, size_t n)
{
	(void)n;
	port_free_aligned(p);
}

void *port_alloc(size_t n)
{
	return port_alloc_aligned(sizeof(struct header), n);
}

void port_free(void *p)
{
	port_free_aligned(p);
}

void *port_realloc(void *p, size_t old, size_t n)
{
	void *moved = port_alloc(n);

	(void)old;
	if (!moved)
		return NULL; /* p stays as it is */
	if (p) {
		size_t had = ((struct header *)p - 1)->n;

		memcpy(moved, p, had < n ? had : n);
		port_free(p);
	}
	return moved;
}
