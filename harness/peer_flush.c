/* SPDX-License-Identifier: MIT */
/*
 * peer_flush.c - the background sync behind durability level "group".
 */
#include "peer_flush.h"

#include <time.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int peer_flush_failed(struct peer_flush *f, int error)
{
	port_store_release(&f->failed, 1);
	return error;
}

int peer_flush_error(const struct peer_flush *f)
{
	return port_load_acquire(&f->failed) ? -EROFS : 0;
}

int peer_flush_now(struct peer_flush *f)
{
	int error = peer_flush_error(f);

	if (!error)
		error = f->sync(f->arg);
	return error ? peer_flush_failed(f, error) : 0;
}

/* With lock held: returns when a sync is due (true) or the thread is to end. */
static bool wait_until_due(struct peer_flush *f, uint64_t early_ns)
{
	while (!f->stop) {
		uint64_t due = f->oldest_ns + f->interval_ns - early_ns;
		struct timespec t = { (time_t)(due / NS_PER_S), (long)(due % NS_PER_S) };

		if (!port_load_acquire(&f->pending))
			pthread_cond_wait(&f->wake, &f->lock.m);
		else if (now_ns() < due)
			pthread_cond_timedwait(&f->wake, &f->lock.m, &t);
		else
			return true;
	}
	return false;
}

static void *flush_thread(void *arg)
{
	struct peer_flush *f = arg;
	uint64_t took_ns = 0;

	port_mutex_lock(&f->lock);
	while (wait_until_due(f, took_ns < f->interval_ns / 2 ? took_ns
							      : f->interval_ns / 2)) {
		uint64_t began = now_ns();

		f->oldest_ns = began;
		port_mutex_unlock(&f->lock);
		/* An exchange, so that whoever counted before it has its write in the sync,
		 * and whoever counts after it finds 0 and wakes us again. */
		(void)__atomic_exchange_n(&f->pending, 0, __ATOMIC_ACQ_REL);
		if (!peer_flush_now(f))
			port_fetch_add(&f->syncs, 1);
		took_ns = now_ns() - began;
		port_mutex_lock(&f->lock);
	}
	port_mutex_unlock(&f->lock);
	return NULL;
}

void peer_flush_start(struct peer_flush *f, uint64_t group_ms, peer_sync_fn *sync,
		      void *arg)
{
	pthread_condattr_t clock;

	memset(f, 0, sizeof(*f));
	f->sync = sync;
	f->arg = arg;
	f->interval_ns = group_ms * NS_PER_MS;
	port_mutex_init(&f->lock);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &clock);
	pthread_condattr_destroy(&clock);
}

int peer_flush_wrote(struct peer_flush *f)
{
	bool running;

	if (port_fetch_add(&f->pending, 1))
		return 0;
	port_mutex_lock(&f->lock);
	f->oldest_ns = now_ns();
	if (!f->running)
		f->running = !pthread_create(&f->thread, NULL, flush_thread, f);
	running = f->running;
	pthread_cond_signal(&f->wake);
	port_mutex_unlock(&f->lock);
	if (running)
		return 0;
	/* No thread to be had: the write is made durable here and now. */
	port_store_release(&f->pending, 0);
	return peer_flush_now(f);
}

void peer_flush_stop(struct peer_flush *f)
{
	port_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	port_mutex_unlock(&f->lock);
	if (f->running)
		pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->wake);
	port_mutex_destroy(&f->lock);
}
