/* SPDX-License-Identifier: MIT */
/*
 * peer_process_tests.c - the libraries' adapters and what outlives a process: syncs by
 * level, one owner a directory, and what is left after kill -9.
 *
 * Its subject is processes, so it has children; each is this program again (by exec, so
 * that no library finds itself in a forked copy of its threads and locks), told by
 * --child what to do.
 */
#include "peer_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "../measure/sync_counter.h"

enum { WRITES = 100, KEYS = 300, VALUE_MAX = 512, PATIENCE_MS = 60000 };

/* What a child tells; in memory shared with its parent. */
struct shared {
	uint64_t acknowledged; /* atomic: writes that have returned 0 */
	uint64_t failed;       /* atomic: 1 after an error */
	struct kv_msg why;
};

extern char **environ;

static void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- what a child writes ---- */

/* The step-th write of every run: the same in the child and in who checks it. */
struct step {
	enum kv_op_type type;
	unsigned int n, key[2]; /* n = 2: one batch */
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static struct step step_of(const struct kv_ops *ops, uint64_t step)
{
	uint64_t r = mix(step + 1);
	struct step s = { KV_PUT, 1, { (unsigned int)(r % KEYS), 0 } };

	if (step % 5 == 4)
		s.type = KV_DELETE;
	if (step % 7 == 6 && (ops->caps & KV_CAP_BATCH))
		s.n = 2;
	s.key[1] = (s.key[0] + 1 + (unsigned int)(r >> 32) % (KEYS - 1)) % KEYS;
	return s;
}

static struct kv_slice key_of(unsigned int key, char out[16])
{
	return kv_slice(out, (size_t)snprintf(out, 16, "key%05u", key));
}

static struct kv_slice value_of(uint64_t step, unsigned int key, char out[VALUE_MAX])
{
	size_t i, len = 40 + (size_t)(mix(step) % (VALUE_MAX - 40));

	for (i = 0; i < len; i++)
		out[i] = (char)('a' + (step * 31 + key * 7 + i) % 26);
	snprintf(out, 40, "%llu of %u;", (unsigned long long)step, key);
	return kv_slice(out, len);
}

static int write_step(struct kv *kv, uint64_t step)
{
	struct step s = step_of(kv->ops, step);
	char key[2][16], value[2][VALUE_MAX];
	struct kv_op op[2];
	unsigned int i;

	for (i = 0; i < s.n; i++)
		op[i] = (struct kv_op){ s.type, key_of(s.key[i], key[i]),
					value_of(step, s.key[i], value[i]) };
	return kv_write(kv, op, s.n, KV_NONE);
}

/* ---- children ---- */

static int child_fails(struct shared *sh, int error)
{
	if (!sh->why.text[0])
		kv_fail(&sh->why, 0, "%s", strerror(-error));
	port_store_release(&sh->failed, 1);
	return 1;
}

/* program --child WHAT ENGINE DIR FD: until it is killed. */
static int child_main(char **argv)
{
	const struct engine_info *e = engines_find(argv[3]);
	bool writes = !strcmp(argv[2], "write");
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED,
				 atoi(argv[5]), 0);
	struct kv *kv;
	char options[PEER_PATH];
	uint64_t step = 0;
	int error;

	if (sh == MAP_FAILED)
		return 1;
	peer_options(e, "memory_bytes=1m,durability=none", options);
	error = kv_open(e->ops, NULL, argv[4], options, &kv, &sh->why);
	if (error)
		return child_fails(sh, error);
	do {
		error = write_step(kv, step);
		if (error)
			return child_fails(sh, error);
		port_store_release(&sh->acknowledged, ++step);
	} while (writes);
	for (;;)
		pause();
}

struct child {
	pid_t pid;
	struct shared *shared;
};

static struct child child_start(const struct engine_info *e, const char *what,
				const char *dir)
{
	char self[PATH_MAX], number[16];
	char *argv[] = { self,        "--child", (char *)what, (char *)e->name,
			 (char *)dir, number,    NULL };
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = memfd_create("peer_process_tests", 0);
	struct child c = { 0 };

	assert_true(len > 0 && fd >= 0);
	self[len] = '\0';
	snprintf(number, sizeof(number), "%d", fd);
	assert_int_equal(ftruncate(fd, sizeof(*c.shared)), 0);
	c.shared =
		mmap(NULL, sizeof(*c.shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(c.shared, MAP_FAILED);
	assert_int_equal(posix_spawn(&c.pid, self, NULL, NULL, argv, environ), 0);
	close(fd);
	return c;
}

/* kill -9, and returns how many writes had returned 0. */
static uint64_t child_kill(struct child *c)
{
	uint64_t acknowledged;
	int status;

	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	acknowledged = port_load_acquire(&c->shared->acknowledged);
	munmap(c->shared, sizeof(*c->shared));
	return acknowledged;
}

/* A child that has ended can't write. Under an emulator the kernel may not know how to start
 * a program of its machine, which posix_spawn() does not notice there. */
static void expect_child_lives(struct child *c)
{
	int status;

	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		munmap(c->shared, sizeof(*c->shared));
		print_message("skipped: this emulator cannot start programs "
			      "(no binfmt_misc)\n");
		skip();
	}
	fail_msg("the child ended: status 0x%x: %s", (unsigned int)status,
		 c->shared->why.text);
}

/* Until n writes have returned. */
static void child_wait(struct child *c, uint64_t n)
{
	unsigned int ms;

	for (ms = 0; ms < PATIENCE_MS; ms++) {
		if (port_load_acquire(&c->shared->acknowledged) >= n)
			return;
		if (port_load_acquire(&c->shared->failed))
			break;
		expect_child_lives(c);
		sleep_ms(1);
	}
	print_message("child: %llu of %llu writes: %s\n",
		      (unsigned long long)c->shared->acknowledged, (unsigned long long)n,
		      c->shared->why.text);
	child_kill(c);
	fail_msg("the child did not write");
}

/* ---- one owner ---- */

static void refused_as_busy(const struct engine_info *e, const char *dir)
{
	struct kv_msg why = { "" };
	char options[PEER_PATH];
	struct kv *kv = NULL;
	int error;

	error = kv_open(e->ops, NULL, dir, peer_options(e, "", options), &kv, &why);
	assert_int_equal(error, -EBUSY);
	assert_null(kv);
	assert_non_null(strstr(why.text, dir));
}

static void test_second_open_is_busy(void **state)
{
	const struct engine_info *e = peer_of(state);
	char dir[PEER_PATH];
	struct kv *kv = peer_open(e, peer_new_dir(dir), "");

	refused_as_busy(e, dir);
	assert_int_equal(kv_close(kv), 0);
	kv = peer_open(e, dir, "");
	refused_as_busy(e, dir);
	assert_int_equal(kv_close(kv), 0);
}

static void test_open_in_another_process_is_busy(void **state)
{
	const struct engine_info *e = peer_of(state);
	char dir[PEER_PATH];
	struct child c = child_start(e, "hold", peer_new_dir(dir));

	child_wait(&c, 1);
	refused_as_busy(e, dir);
	child_kill(&c);
	/* Its lock has died with it. */
	assert_int_equal(kv_close(peer_open(e, dir, "")), 0);
}

/* ---- kill -9 ---- */

struct model {
	uint64_t put_by
		[KEYS]; /* the step that put what the key has, + 1; 0: it has nothing */
};

static void model_apply(const struct kv_ops *ops, struct model *m, uint64_t step)
{
	struct step s = step_of(ops, step);
	unsigned int i;

	for (i = 0; i < s.n; i++)
		m->put_by[s.key[i]] = s.type == KV_PUT ? step + 1 : 0;
}

/* Whether the store has for a key what the model says. */
static bool key_is_right(const struct model *m, struct kv *kv, unsigned int i)
{
	char key[16], value[VALUE_MAX];
	struct kv_buf got = { 0 };
	int error = kv_get(kv, key_of(i, key), &got);
	struct kv_slice want;
	bool right = error == -ENOENT;

	if (m->put_by[i]) {
		want = value_of(m->put_by[i] - 1, i, value);
		right = !error && !kv_compare(want, kv_slice(got.data, got.len));
	}
	kv_buf_free(&got);
	return right;
}

/* The first key that the store has otherwise; KEYS: none. */
static unsigned int model_differs(const struct model *m, struct kv *kv)
{
	unsigned int i;

	for (i = 0; i < KEYS && key_is_right(m, kv, i);)
		i++;
	return i;
}

static unsigned int model_pairs(const struct model *m)
{
	unsigned int i, n = 0;

	for (i = 0; i < KEYS; i++)
		n += m->put_by[i] != 0;
	return n;
}

static unsigned int store_pairs(struct kv *kv)
{
	struct kv_cursor *c;
	unsigned int n = 0;
	int error;

	assert_int_equal(kv_cursor(kv, NULL, &c), 0);
	while (!(error = kv_next(c)))
		n++;
	kv_cursor_close(c);
	assert_int_equal(error, -ENOENT);
	return n;
}

/* Starts a writer, kills it after so many writes or a few more, and opens what it left.
 * *before: what all that returned have left; *after: the one under way as well. */
static struct kv *open_after_kill(const struct engine_info *e, uint64_t writes,
				  char dir[PEER_PATH], struct model *before,
				  struct model *after, uint64_t *acknowledged)
{
	struct child c = child_start(e, "write", peer_new_dir(dir));
	uint64_t i;

	child_wait(&c, writes);
	*acknowledged = child_kill(&c);
	*before = (struct model){ { 0 } };
	for (i = 0; i < *acknowledged; i++)
		model_apply(e->ops, before, i);
	*after = *before;
	model_apply(e->ops, after, *acknowledged);
	return peer_open(e, dir, "durability=none");
}

/* Everything acknowledged is there; the write under way whole or not at all, where a
 * library promises that; and no more. */
static void killed_after(const struct engine_info *e, uint64_t writes)
{
	struct model before, after;
	unsigned int lost, pairs;
	uint64_t acknowledged;
	char dir[PEER_PATH];
	struct kv *kv = open_after_kill(e, writes, dir, &before, &after, &acknowledged);
	struct step torn = step_of(e->ops, acknowledged);

	lost = model_differs(&before, kv);
	pairs = model_pairs(&before);
	if (lost != KEYS && model_differs(&after, kv) == KEYS) {
		lost = KEYS;
		pairs = model_pairs(&after);
	}
	if (lost == torn.key[0] && !(e->ops->caps & KV_CAP_CRASH_SAFE)) {
		print_message("# %s: the write under way is torn\n", e->name);
		kv_close(kv);
		return;
	}
	if (lost != KEYS)
		fail_msg("%s: of %llu writes that were acknowledged before kill -9 the "
			 "one of step %llu to key%05u is not there",
			 e->name, (unsigned long long)acknowledged,
			 (unsigned long long)before.put_by[lost] - 1, lost);
	assert_int_equal(store_pairs(kv), pairs);
	/* And it goes on. */
	assert_int_equal(kv_put(kv, kv_str("later"), kv_str("1"), KV_NONE), 0);
	assert_int_equal(kv_close(kv), 0);
	kv = peer_open(e, dir, "");
	assert_int_equal(store_pairs(kv), pairs + 1);
	assert_int_equal(kv_close(kv), 0);
}

/* The rest of a store may be old or lost, but nothing in it is made up. */
static void killed_unsafely_after(const struct engine_info *e, uint64_t writes)
{
	struct model before, after, at = { { 0 } };
	bool found[KEYS] = { false };
	unsigned int i, n = 0;
	uint64_t acknowledged, step;
	char dir[PEER_PATH];
	struct kv *kv = open_after_kill(e, writes, dir, &before, &after, &acknowledged);

	for (step = acknowledged + 1; step-- > 0;) {
		struct step s = step_of(e->ops, step);

		if (s.type != KV_PUT || found[s.key[0]])
			continue;
		at.put_by[s.key[0]] = step + 1;
		found[s.key[0]] = key_is_right(&at, kv, s.key[0]);
	}
	for (i = 0; i < KEYS; i++)
		n += found[i];
	assert_int_equal(store_pairs(kv), n);
	assert_int_equal(kv_put(kv, kv_str("later"), kv_str("1"), KV_NONE), 0);
	assert_int_equal(kv_close(kv), 0);
}

/* Libraries that can lose acknowledged writes with their process, however they are set. */
static const struct {
	const char *engine, *why;
} kill_unsafe[] = {
	{ "tkrzw-tree",
	  "TreeDBM writes the pages of a split or a merge one by one: killed "
	  "in between, it loses the pairs of a leaf" },
};

static const char *why_kill_unsafe(const struct engine_info *e)
{
	size_t i;

	for (i = 0; i < sizeof(kill_unsafe) / sizeof(kill_unsafe[0]); i++)
		if (!strcmp(kill_unsafe[i].engine, e->name))
			return kill_unsafe[i].why;
	return NULL;
}

static void test_kill_loses_no_acknowledged_write(void **state)
{
	/* Few: all is in memory and log. Many: tables, checkpoints and splits have been. */
	static const uint64_t writes[] = { 1, 40, 700, 9000 };
	const struct engine_info *e = peer_of(state);
	const char *why = why_kill_unsafe(e);
	size_t i;

	if (why)
		print_message("# %s: not asked for: %s\n", e->name, why);
	for (i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		if (why)
			killed_unsafely_after(e, writes[i]);
		else
			killed_after(e, writes[i]);
	}
}

/* ---- levels ---- */

static uint64_t syncs_now(void)
{
	struct sync_counts n;

	sync_counter_read(&n);
	return sync_counts_durable(&n);
}

/* How often the library synced during WRITES writes of this level. */
static uint64_t syncs_of(struct kv *kv, enum kv_durability how)
{
	uint64_t before = syncs_now();
	unsigned int i;
	char key[16];

	for (i = 0; i < WRITES; i++)
		assert_int_equal(kv_put(kv, key_of(i, key), kv_str("value"), how), 0);
	return syncs_now() - before;
}

static void test_level_none_does_not_sync(void **state)
{
	char dir[PEER_PATH];
	struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), "durability=none");

	/* A background checkpoint may come in between; a sync a write may not. */
	assert_in_range(syncs_of(kv, KV_NONE), 0, WRITES / 10);
	assert_int_equal(kv_close(kv), 0);
}

static void test_level_sync_syncs_each_write(void **state)
{
	static const char *const opened[] = {
		"durability=none",
		"durability=group",
		"durability=sync",
	};
	char dir[PEER_PATH];
	size_t i;

	for (i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
		struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), opened[i]);
		uint64_t n = syncs_of(kv, KV_SYNC);

		if (n < WRITES)
			fail_msg("opened with %s: %llu syncs in %d writes", opened[i],
				 (unsigned long long)n, WRITES);
		assert_int_equal(kv_close(kv), 0);
	}
}

/* A sync after the last write, without any more calls. */
static void expect_sync_within_patience(struct kv *kv, const char *opened)
{
	uint64_t before;
	unsigned int ms;
	char key[16];

	/* What came before has been synced: the next one is this write's. */
	assert_int_equal(kv_sync(kv), 0);
	sleep_ms(50);
	assert_int_equal(kv_put(kv, key_of(1, key), kv_str("volatile"), KV_NONE), 0);
	before = syncs_now();
	assert_int_equal(kv_put(kv, key_of(2, key), kv_str("group"), KV_GROUP), 0);
	for (ms = 0; ms < PATIENCE_MS && syncs_now() == before; ms++)
		sleep_ms(1);
	if (ms == PATIENCE_MS)
		fail_msg("opened with %s: a write of level group was never synced",
			 opened);
}

static void test_level_group_syncs_in_the_background(void **state)
{
	static const char *const opened[] = {
		"durability=none,group_ms=10",
		"durability=group,group_ms=10",
		"durability=sync,group_ms=10",
	};
	char dir[PEER_PATH];
	size_t i;

	for (i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
		struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), opened[i]);

		expect_sync_within_patience(kv, opened[i]);
		assert_int_equal(kv_close(kv), 0);
	}
}

/* What has no log must sync a commit's pages before it points at them. */
static bool has_log(const struct engine_info *e)
{
	return strcmp(e->name, "lmdb") != 0;
}

static void test_level_group_shares_syncs(void **state)
{
	const struct engine_info *e = peer_of(state);
	char dir[PEER_PATH];
	struct kv *kv =
		peer_open(e, peer_new_dir(dir), "durability=group,group_ms=3600000");
	uint64_t n = syncs_of(kv, KV_GROUP);

	if (has_log(e))
		assert_in_range(n, 0, WRITES / 10);
	else
		assert_in_range(n, WRITES, WRITES * 11 / 10);
	n = syncs_now();
	assert_int_equal(kv_sync(kv), 0);
	assert_true(syncs_now() > n);
	assert_int_equal(kv_close(kv), 0);
}

static void test_close_syncs(void **state)
{
	char dir[PEER_PATH];
	struct kv *kv = peer_open(peer_of(state), peer_new_dir(dir), "durability=none");
	uint64_t n;

	(void)syncs_of(kv, KV_NONE);
	n = syncs_now();
	assert_int_equal(kv_close(kv), 0);
	assert_true(syncs_now() > n);
}

int main(int argc, char **argv)
{
	static struct peer_tests t;

	if (argc == 6 && !strcmp(argv[1], "--child"))
		return child_main(argv);
	peer_tests_add(&t, "second_open_is_busy", test_second_open_is_busy, 0);
	peer_tests_add(&t, "open_in_another_process_is_busy",
		       test_open_in_another_process_is_busy, 0);
	peer_tests_add(&t, "kill_loses_no_acknowledged_write",
		       test_kill_loses_no_acknowledged_write, KV_CAP_PERSISTENT);
	peer_tests_add(&t, "level_none_does_not_sync", test_level_none_does_not_sync, 0);
	peer_tests_add(&t, "level_sync_syncs_each_write",
		       test_level_sync_syncs_each_write, KV_CAP_DURABLE);
	peer_tests_add(&t, "level_group_syncs_in_the_background",
		       test_level_group_syncs_in_the_background, KV_CAP_DURABLE);
	peer_tests_add(&t, "level_group_shares_syncs", test_level_group_shares_syncs,
		       KV_CAP_DURABLE);
	peer_tests_add(&t, "close_syncs", test_close_syncs, KV_CAP_PERSISTENT);
	return peer_tests_run("peer processes", &t);
}
