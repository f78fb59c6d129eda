/* SPDX-License-Identifier: MIT */
/*
 * env_sim_lock.c - locks that tasks wait for without stopping the others.
 *
 * Only the holder of the baton runs, so if it slept on a lock whose owner waits for the
 * baton, nothing would ever run again. These definitions stand before the C library's
 * in a program that links this file: a task of a simulator tries the lock, and hands the
 * baton on until it is free. All other threads get the library's own lock.
 */
#include <dlfcn.h>

#include "env_sim_internal.h"

typedef int lock_fn(void *lock);

/* The library's function of that name. Resolved once; two threads store the same value. */
static int real(lock_fn **cache, const char *name, void *lock)
{
	lock_fn *fn = __atomic_load_n(cache, __ATOMIC_ACQUIRE);

	if (!fn) {
		void *found = dlsym(RTLD_NEXT, name);

		if (!found)
			sim_die("the C library has no %s", name);
		memcpy(&fn, &found, sizeof(fn));
		__atomic_store_n(cache, fn, __ATOMIC_RELEASE);
	}
	return fn(lock);
}

static lock_fn *mutex_lock, *mutex_unlock, *read_lock, *write_lock, *rw_unlock;

static int try_mutex(void *lock)
{
	return pthread_mutex_trylock(lock);
}

static int try_read(void *lock)
{
	return pthread_rwlock_tryrdlock(lock);
}

static int try_write(void *lock)
{
	return pthread_rwlock_trywrlock(lock);
}

static int lock_as_task(lock_fn *attempt, void *lock)
{
	int error;

	sim_lock_preempt();
	while ((error = attempt(lock)) == EBUSY)
		sim_lock_wait(lock);
	return error;
}

static int unlocked(int error, const void *lock)
{
	if (!error && sim_lock_is_ours())
		sim_lock_released(lock);
	return error;
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
	return sim_lock_is_ours() ? lock_as_task(try_mutex, m)
				  : real(&mutex_lock, "pthread_mutex_lock", m);
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
	return unlocked(real(&mutex_unlock, "pthread_mutex_unlock", m), m);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
	return sim_lock_is_ours() ? lock_as_task(try_read, l)
				  : real(&read_lock, "pthread_rwlock_rdlock", l);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
	return sim_lock_is_ours() ? lock_as_task(try_write, l)
				  : real(&write_lock, "pthread_rwlock_wrlock", l);
}

int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	return unlocked(real(&rw_unlock, "pthread_rwlock_unlock", l), l);
}
