/* SPDX-License-Identifier: MIT */
/*
 * sync_counter_tests.c - each sync counted exactly once, whoever made it, and every call
 * that is stood between still doing what the C library's does.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif
#ifdef HAVE_LMDB
#include <lmdb.h>
#endif

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../measure/sync_counter.h"

/* ---- files ---- */

static void check_holds(const char *name, const char *text)
{
	char got[64] = { 0 };
	FILE *f = fopen(in_scratch(name), "re");

	assert_non_null(f);
	(void)fread(got, 1, sizeof(got) - 1, f);
	(void)fclose(f);
	assert_string_equal(got, text);
}

/* ---- syncs ---- */

static struct sync_counts before;

static void begin_count(void)
{
	sync_counter_read(&before);
}

/* Since begin_count(), exactly these. */
static void check_counted(uint64_t fsyncs, uint64_t fdatasyncs, uint64_t msyncs,
			  uint64_t osync_writes)
{
	struct sync_counts now;

	sync_counter_read(&now);
	assert_int_equal(now.fsync - before.fsync, fsyncs);
	assert_int_equal(now.fdatasync - before.fdatasync, fdatasyncs);
	assert_int_equal(now.msync - before.msync, msyncs);
	assert_int_equal(now.osync_write - before.osync_write, osync_writes);
	assert_int_equal(sync_counts_durable(&now) - sync_counts_durable(&before),
			 fsyncs + fdatasyncs + msyncs + osync_writes);
	begin_count();
}

static void test_each_sync_is_counted_once(void **state)
{
	int fd = open_in_scratch("syncs", 0);
	struct sync_counts now;

	(void)state;
	begin_count();
	assert_int_equal(fsync(fd), 0);
	check_counted(1, 0, 0, 0);
	assert_int_equal(fdatasync(fd), 0);
	check_counted(0, 1, 0, 0);
	assert_int_equal(syncfs(fd), 0);
	check_counted(1, 0, 0, 0);
	sync();
	check_counted(1, 0, 0, 0);
	assert_int_equal(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
	sync_counter_read(&now);
	assert_int_equal(now.sync_file_range - before.sync_file_range, 1);
	check_counted(0, 0, 0, 0); /* it promises nothing */
	assert_int_equal(close(fd), 0);
}

static void test_msync_counts_when_it_waits(void **state)
{
	int fd = open_in_scratch("mapped", 0);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)page), 0);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	begin_count();
	p[0] = 'm';
	assert_int_equal(msync(p, page, MS_ASYNC), 0);
	check_counted(0, 0, 0, 0);
	assert_int_equal(msync(p, page, MS_SYNC), 0);
	check_counted(0, 0, 1, 0);
	assert_int_equal(munmap(p, page), 0);
	assert_int_equal(close(fd), 0);
	check_holds("mapped", "m");
}

/* "abcdefgh", each letter or two by another call. */
static void write_by_every_call(int fd)
{
	struct iovec c = { "c", 1 }, d = { "d", 1 }, ef[2] = { { "e", 1 }, { "f", 1 } },
		     g = { "g", 1 }, h = { "h", 1 };

	assert_int_equal(write(fd, "a", 1), 1);
	assert_int_equal(pwrite(fd, "b", 1, 1), 1);
	assert_int_equal(pwritev(fd, &d, 1, 3), 1);
	assert_int_equal(pwritev2(fd, ef, 2, 4, 0), 2);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(writev(fd, &c, 1), 1);
	assert_int_equal(lseek(fd, 6, SEEK_SET), 6);
	assert_int_equal(pwritev2(fd, &g, 1, -1, 0), 1); /* where the file stands */
	assert_int_equal(pwrite64(fd, h.iov_base, 1, 7), 1);
}

static void test_writes_count_by_how_the_file_was_opened(void **state)
{
	static const struct {
		const char *name;
		int flags;
		uint64_t counted;
	} file[] = { { "plain", 0, 0 },
		     { "dsync", O_DSYNC, 7 },
		     { "sync", O_SYNC, 7 },
		     { "plain again", O_NONBLOCK, 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		/* The same number each time: it is a new file's. */
		int fd = open_in_scratch(file[i].name, file[i].flags);

		begin_count();
		write_by_every_call(fd);
		check_counted(0, 0, 0, file[i].counted);
		assert_int_equal(close(fd), 0);
		check_holds(file[i].name, "abcdefgh");
	}
}

static void test_a_write_may_ask_for_its_own_sync(void **state)
{
	struct iovec v = { "w", 1 };
	int plain = open_in_scratch("own", 0), synced = open_in_scratch("own", O_DSYNC);

	(void)state;
	if (pwritev2(plain, &v, 1, 0, RWF_DSYNC) < 0 && errno == ENOTSUP) {
		assert_int_equal(close(plain), 0);
		assert_int_equal(close(synced), 0);
		printf("skipped: no pwritev2() here\n");
		skip();
	}
	begin_count();
	assert_int_equal(pwritev2(plain, &v, 1, 0, RWF_DSYNC), 1);
	assert_int_equal(pwritev2(plain, &v, 1, 0, RWF_SYNC), 1);
	check_counted(0, 0, 0, 2);
	assert_int_equal(pwritev2(plain, &v, 1, 0, 0), 1);
	check_counted(0, 0, 0, 0);
	assert_int_equal(pwritev2(synced, &v, 1, 0, RWF_DSYNC), 1); /* one, not two */
	check_counted(0, 0, 0, 1);
	assert_int_equal(close(plain), 0);
	assert_int_equal(close(synced), 0);
}

static void write_one(int fd)
{
	assert_int_equal(write(fd, "1", 1), 1);
}

static void test_descriptors_that_take_over_a_number(void **state)
{
	int plain = open_in_scratch("plain", 0),
	    synced = open_in_scratch("dsync", O_DSYNC), third;

	(void)state;
	begin_count();
	write_one(plain);
	write_one(synced);
	check_counted(0, 0, 0, 1);

	assert_int_equal(dup2(synced, plain), plain);
	write_one(plain);
	check_counted(0, 0, 0, 1);
	assert_int_equal(close(plain), 0);
	plain = open_in_scratch("plain", 0);
	write_one(plain);
	check_counted(0, 0, 0, 0);
	assert_int_equal(dup3(plain, synced, O_CLOEXEC), synced);
	write_one(synced);
	check_counted(0, 0, 0, 0);
	third = fcntl(plain, F_DUPFD_CLOEXEC, 100);
	assert_true(third >= 100);
	write_one(third);
	check_counted(0, 0, 0, 0);
	assert_int_equal(close(third), 0);
	assert_int_equal(close(synced), 0);
	assert_int_equal(close(plain), 0);
}

/* stdio closes its descriptor inside the C library. */
static void test_number_that_stdio_gave_back(void **state)
{
	int plain = open_in_scratch("plain", 0), synced;
	FILE *f;

	(void)state;
	write_one(plain); /* as a C++ stream does */
	f = fdopen(plain, "we");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	synced = open_in_scratch("dsync", O_DSYNC);
	assert_int_equal(synced, plain);
	begin_count();
	write_one(synced);
	check_counted(0, 0, 0, 1);
	assert_int_equal(close(synced), 0);
}

static void test_number_that_was_written_to_while_closed(void **state)
{
	int fd = open_in_scratch("plain", 0), synced;

	(void)state;
	assert_int_equal(close(fd), 0);
	begin_count();
	assert_int_equal(write(fd, "1", 1), -1);
	assert_int_equal(errno, EBADF);
	synced = open_in_scratch("dsync", O_DSYNC);
	assert_int_equal(synced, fd);
	write_one(synced);
	check_counted(0, 0, 0, 1);
	assert_int_equal(close(synced), 0);
}

static void test_errors_are_the_kernels(void **state)
{
	struct iovec v = { "w", 1 };
	int fd = open_in_scratch("plain", 0);

	(void)state;
	errno = 0;
	assert_int_equal(fsync(-1), -1);
	assert_int_equal(errno, EBADF);
	errno = 0;
	assert_int_equal(fdatasync(-1), -1);
	assert_int_equal(errno, EBADF);
	errno = 0;
	assert_int_equal(write(-1, "w", 1), -1);
	assert_int_equal(errno, EBADF);
	errno = 0;
	assert_int_equal(pwrite(fd, "w", 1, -1), -1);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_int_equal(writev(-1, &v, 1), -1);
	assert_int_equal(errno, EBADF);
	errno = 0;
	assert_int_equal(close(-1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(dup2(fd, fd), fd);
	errno = 0;
	assert_int_equal(dup2(-1, -1), -1);
	assert_int_equal(errno, EBADF);
	errno = 0;
	assert_int_equal(dup3(fd, fd, 0), -1);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_int_equal(msync(&v, sizeof(v), MS_SYNC | MS_ASYNC), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(close(fd), 0);
}

enum { SYNCERS = 4, SYNCS_EACH = 5000 };

static void *sync_often(void *arg)
{
	int i;

	for (i = 0; i < SYNCS_EACH; i++)
		(void)fdatasync(-1); /* asked for, whatever came of it */
	return arg;
}

static void test_threads_sync_at_once(void **state)
{
	pthread_t thread[SYNCERS];
	int i;

	(void)state;
	begin_count();
	for (i = 0; i < SYNCERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, sync_often, NULL), 0);
	for (i = 0; i < SYNCERS; i++)
		pthread_join(thread[i], NULL);
	check_counted(0, SYNCERS * SYNCS_EACH, 0, 0);
}

/* ---- syncs that a library makes ---- */

static void test_library_that_writes_is_seen(void **state)
{
	json_t *seven = json_integer(7);
	int fd = open_in_scratch("json", O_DSYNC);

	(void)state;
	begin_count();
	assert_int_equal(json_dumpfd(seven, fd, JSON_ENCODE_ANY), 0);
	check_counted(0, 0, 0, 1);
	json_decref(seven);
	assert_int_equal(close(fd), 0);
	check_holds("json", "7");
}

#ifdef HAVE_SQLITE
static void run_sql(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why))
		fail_msg("%s: %s", sql, why);
}

/* "In WAL mode with FULL the log is synced after each commit"; with OFF never. */
static void test_sqlite_syncs_once_a_commit(void **state)
{
	struct sync_counts start, now;
	sqlite3 *db;
	int i;

	(void)state;
	assert_int_equal(sqlite3_open(in_scratch("sqlite"), &db), SQLITE_OK);
	run_sql(db, "PRAGMA journal_mode=WAL");
	run_sql(db, "PRAGMA synchronous=FULL");
	run_sql(db, "CREATE TABLE t (k INTEGER PRIMARY KEY, v)");
	sync_counter_read(&start);
	for (i = 0; i < 10; i++)
		run_sql(db, "INSERT INTO t (v) VALUES ('x')");
	sync_counter_read(&now);
	assert_int_equal(sync_counts_durable(&now) - sync_counts_durable(&start), 10);
	run_sql(db, "PRAGMA synchronous=OFF");
	sync_counter_read(&start);
	for (i = 0; i < 10; i++)
		run_sql(db, "INSERT INTO t (v) VALUES ('x')");
	sync_counter_read(&now);
	assert_int_equal(sync_counts_durable(&now), sync_counts_durable(&start));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
#endif

#ifdef HAVE_LMDB
static void lmdb_commit(MDB_env *env)
{
	MDB_val k = { 1, "k" }, v = { 1, "v" };
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
}

/* The pages are synced, then the meta page is written through a descriptor that is
 * O_DSYNC: two waits for the device a commit. */
static void test_lmdb_syncs_pages_and_meta_page(void **state)
{
	MDB_env *env;
	int i;

	(void)state;
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, in_scratch("lmdb"), MDB_NOSUBDIR, 0644), 0);
	lmdb_commit(env);
	begin_count();
	for (i = 0; i < 10; i++)
		lmdb_commit(env);
	check_counted(0, 10, 0, 10);
	assert_int_equal(mdb_env_set_flags(env, MDB_NOSYNC, 1), 0);
	for (i = 0; i < 10; i++)
		lmdb_commit(env);
	check_counted(0, 0, 0, 0);
	mdb_env_close(env);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_sync_is_counted_once),
		cmocka_unit_test(test_msync_counts_when_it_waits),
		cmocka_unit_test(test_writes_count_by_how_the_file_was_opened),
		cmocka_unit_test(test_a_write_may_ask_for_its_own_sync),
		cmocka_unit_test(test_descriptors_that_take_over_a_number),
		cmocka_unit_test(test_number_that_stdio_gave_back),
		cmocka_unit_test(test_number_that_was_written_to_while_closed),
		cmocka_unit_test(test_errors_are_the_kernels),
		cmocka_unit_test(test_threads_sync_at_once),
		cmocka_unit_test(test_library_that_writes_is_seen),
#ifdef HAVE_SQLITE
		cmocka_unit_test(test_sqlite_syncs_once_a_commit),
#endif
#ifdef HAVE_LMDB
		cmocka_unit_test(test_lmdb_syncs_pages_and_meta_page),
#endif
	};

	return cmocka_run_group_tests_name("sync counter", tests, make_scratch,
					   drop_scratch);
}
