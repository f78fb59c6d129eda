/* SPDX-License-Identifier: MIT */
/*
 * lsm_moment_tests.c - the LSM engine at the moments when a crash would hurt most, each looked
 * at closely: every write of a compaction, of a backup, of a recovery and of the recovery
 * after that one, of deletes of ranges; and what readers see before it is durable.
 *
 * Here it is known what the store must hold, key by key; lsm_crash_tests.c has histories of
 * everything at once. KV_TORTURE looks at each position; sanitizers and Valgrind at fewer.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_engine.h"

#define SMALL                                                                 \
	"memory_bytes=1m,memtable_bytes=8k,segment_bytes=64k,table_bytes=4k," \
	"block_bytes=512,huge=off,flushed_runs=2,ratio=2,level_bytes=16k,blob_bytes=300"

static const char *const styles[] = {
	SMALL ",style=lazy",
	SMALL ",style=leveled,map=off,blob_live_percent=90",
	SMALL ",style=tiered,blob_bytes=0,parts=2",
};

enum {
	STYLES = sizeof(styles) / sizeof(styles[0]),
	KEYS = 60,
	KEY_BYTES = 16,
	VALUE_MAX = 700,
};

struct model { /* what each key holds: the number of its write, 0: nothing */
	unsigned int write[KEYS];
};

struct scene {
	const char *options;
	struct env_sim *sim;
	struct kv *kv;
	struct model model;
	unsigned int writes;
	uint64_t disks;
};

/* Each so manieth position; under KV_TORTURE each. */
static unsigned int each(unsigned int n)
{
	return (unsigned int)test_one_in(n);
}

static bool in_full(void)
{
	return test_scale() == 1;
}

/* ---- keys, values, the model ---- */

static struct kv_slice key_of(unsigned int key, char name[KEY_BYTES])
{
	return kv_slice(name, (size_t)snprintf(name, KEY_BYTES, "key%05u", key));
}

/* Every third is large. */
static struct kv_slice value_of(unsigned int write, uint8_t value[VALUE_MAX])
{
	size_t n = write % 3 ? 20 + write % 50 : VALUE_MAX - write % 100;

	memset(value, (int)(write * 7), n);
	port_put_le32(value, write);
	return kv_slice(value, n);
}

static int put(struct scene *c, unsigned int key, enum kv_durability how)
{
	uint8_t value[VALUE_MAX];
	char name[KEY_BYTES];

	c->model.write[key] = ++c->writes;
	return kv_put(c->kv, key_of(key, name), value_of(c->writes, value), how);
}

static int delete_range(struct scene *c, unsigned int begin, unsigned int end,
			enum kv_durability how)
{
	char from[KEY_BYTES], to[KEY_BYTES];
	const struct kv_op op = { .type = KV_DELETE_RANGE,
				  .key = key_of(begin, from),
				  .value = key_of(end, to) };
	unsigned int key;

	for (key = begin; key < end && key < KEYS; key++)
		c->model.write[key] = 0;
	return kv_write(c->kv, &op, 1, how);
}

/* 0: the store holds this, by gets and by a cursor; 1: it does not; or an error. */
static int compare(struct kv *kv, const struct model *m)
{
	struct kv_buf got = { 0 };
	struct kv_cursor *cursor;
	uint8_t value[VALUE_MAX];
	char name[KEY_BYTES];
	size_t pairs = 0, seen = 0;
	unsigned int key;
	int error = 0;

	for (key = 0; !error && key < KEYS; key++) {
		error = kv_get(kv, key_of(key, name), &got);
		pairs += m->write[key] != 0;
		if (error == -ENOENT)
			error = m->write[key] != 0;
		else if (!error)
			error = !m->write[key] ||
				kv_compare(value_of(m->write[key], value),
					   kv_slice(got.data, got.len));
	}
	kv_buf_free(&got);
	if (error)
		return error < 0 ? error : 1;
	error = kv_cursor(kv, NULL, &cursor);
	if (error)
		return error;
	while (!(error = kv_next(cursor)))
		seen++;
	kv_cursor_close(cursor);
	return error == -ENOENT ? seen != pairs : error;
}

/* ---- stores ---- */

static int open_store(struct env_sim *sim, const char *dir, const char *options,
		      struct kv **kv)
{
	struct kv_msg why = { "" };
	int error = kv_open(&lsm_engine, env_sim_env(sim), dir, options, kv, &why);

	if (error)
		print_error("open of %s: %d (%s)\n", dir, error, why.text);
	return error;
}

static void scene_begin(struct scene *c, const char *options, uint64_t seed)
{
	*c = (struct scene){ .options = options };
	c->sim = env_sim_new(
		&(struct env_sim_config){ .seed = seed, .spurious = true, .preempt = 4 });
	assert_int_equal(open_store(c->sim, "store", options, &c->kv), 0);
}

static void scene_end(struct scene *c)
{
	assert_int_equal(kv_close(c->kv), 0);
	env_sim_free(c->sim);
}

/* Several levels, with keys overwritten and deleted. */
static void fill(struct scene *c)
{
	unsigned int i;

	for (i = 0; i < 4 * KEYS; i++) {
		assert_int_equal(put(c, i * 7 % KEYS, KV_NONE), 0);
		if (i % 40 == 39)
			assert_int_equal(delete_range(c, i % KEYS, i % KEYS + 5, KV_NONE),
					 0);
	}
	assert_int_equal(kv_sync(c->kv), 0);
}

/* Opens the disk's store, and it is sound and holds this. The store stays open if kv is not
 * NULL. */
static int check_open(struct env_sim *disk, const char *options, const struct model *m,
		      struct kv **kv)
{
	struct kv_msg why = { "" };
	struct kv *own;
	int error = open_store(disk, "store", options, &own);

	if (error)
		return error;
	error = compare(own, m);
	if (error)
		print_error("%s: not what was written (%d)\n", env_sim_origin(disk),
			    error);
	else
		error = kv_verify(own, &why);
	if (why.text[0])
		print_error("verify: %s\n", why.text);
	if (kv && !error) {
		*kv = own;
		return 0;
	}
	return kv_close(own) ? -EIO : error;
}

/* ---- what changes nothing: a compaction, a backup ---- */

static int check_same(void *arg, struct env_sim *disk, size_t at)
{
	struct scene *c = arg;

	(void)at;
	c->disks++;
	return check_open(disk, c->options, &c->model, NULL);
}

static void explore(struct scene *c, size_t from, unsigned int every,
		    env_sim_check_fn *check, void *arg)
{
	struct env_sim_explore e = { .from = from,
				     .every = each(every),
				     .samples = 2,
				     .exhaustive = 8,
				     .check = check,
				     .arg = arg };

	if (env_sim_explore(c->sim, &e))
		fail_msg("%s, seed 1: %s", c->options, e.failed);
}

static void test_crash_at_every_write_of_a_compaction(void **state)
{
	struct scene c;
	size_t from, i;

	(void)state;
	for (i = 0; i < STYLES; i++) {
		scene_begin(&c, styles[i], 1);
		fill(&c);
		from = env_sim_position(c.sim);
		assert_int_equal(kv_compact(c.kv), 0);
		explore(&c, from, 5, check_same, &c);
		print_message("%llu disks\n", (unsigned long long)c.disks);
		assert_true(!in_full() || c.disks > 20);
		scene_end(&c);
	}
}

struct backup {
	struct scene *scene;
	size_t done;
	uint64_t whole, refused;
};

/* Whole once it was acknowledged. Before, it is refused, or whole, or nothing at all: a
 * directory in which a new store may be made. */
static int check_backup(void *arg, struct env_sim *disk, size_t at)
{
	static const struct model nothing;
	struct backup *b = arg;
	struct scene *c = b->scene;
	struct kv_msg why = { "" };
	struct kv *kv;
	int error = check_same(c, disk, at);

	if (error)
		return error;
	error = kv_open(&lsm_engine, env_sim_env(disk), "backup", c->options, &kv, &why);
	if (error) {
		b->refused++;
		return at >= b->done ? error : 0;
	}
	error = compare(kv, &c->model);
	b->whole += !error;
	if (error == 1 && at < b->done)
		error = compare(kv, &nothing);
	if (!error)
		error = kv_verify(kv, &why);
	if (error)
		print_error("%s: the backup is %d (%s)\n", env_sim_origin(disk), error,
			    why.text);
	return kv_close(kv) ? -EIO : error;
}

static void test_crash_at_every_write_of_a_backup(void **state)
{
	struct scene c;
	size_t from, i;

	(void)state;
	for (i = 0; i < STYLES; i++) {
		struct backup b = { .scene = &c };

		scene_begin(&c, styles[i], 1);
		fill(&c);
		from = env_sim_position(c.sim);
		assert_int_equal(kv_backup(c.kv, "backup"), 0);
		b.done = env_sim_position(c.sim);
		explore(&c, from, 7, check_backup, &b);
		explore(&c, b.done, 1, check_backup, &b);
		if (!in_full()) /* so few moments may all be of one kind */
			explore(&c, from + (b.done - from) / 2, 7, check_backup, &b);
		print_message("%llu disks, a whole backup on %llu, a refused one on "
			      "%llu\n",
			      (unsigned long long)c.disks, (unsigned long long)b.whole,
			      (unsigned long long)b.refused);
		assert_true(b.whole && b.refused);
		scene_end(&c);
	}
}

/* ---- crashes of recoveries ---- */

struct depth {
	struct scene *scene;
	unsigned int deeper; /* how many crashes are to come */
	uint64_t disks[4];   /* that had crashed so often */
};

/* Opens, writes nothing, closes; and the same through every crash of that, and of those. */
static int check_deeper(void *arg, struct env_sim *disk, size_t at)
{
	struct depth *d = arg;
	struct depth next = { .scene = d->scene, .deeper = d->deeper - 1 };
	struct env_sim_explore e = { .every = each(9),
				     .samples = 1,
				     .exhaustive = 2,
				     .check = check_deeper,
				     .journal = next.deeper,
				     .arg = &next };
	unsigned int depth = env_sim_depth(disk), i;
	int error = check_open(disk, d->scene->options, &d->scene->model, NULL);

	(void)at;
	d->disks[depth]++;
	if (error || !d->deeper)
		return error;
	/* Of those one level down a few stand for all. */
	if (depth > 1 && d->disks[depth] % 6)
		return 0;
	e.from = d->disks[depth] % 5;
	error = env_sim_explore(disk, &e);
	if (error)
		print_error("%s\n", e.failed);
	for (i = 0; i < 4; i++)
		d->disks[i] += next.disks[i];
	return error;
}

/* The log holds several memtables, so that replaying it flushes some. */
static void test_crash_at_every_write_of_a_recovery(void **state)
{
	struct scene c;
	size_t i;

	(void)state;
	for (i = 0; i < STYLES; i++) {
		struct depth d = { .scene = &c, .deeper = 2 };
		struct env_sim *disk;

		scene_begin(&c, styles[i], 1);
		fill(&c);
		disk = env_sim_crash(
			c.sim,
			&(struct env_sim_point){ .at = env_sim_position(c.sim),
						 .loss = i % 2 ? SIM_LOSE_NONE
							       : SIM_LOSE_ALL },
			true);
		assert_int_equal(check_deeper(&d, disk, 0), 0);
		env_sim_free(disk);
		print_message("%llu disks after two crashes, %llu after three\n",
			      (unsigned long long)d.disks[2],
			      (unsigned long long)d.disks[3]);
		assert_true(!in_full() || (d.disks[2] > 5 && d.disks[3] > 5));
		scene_end(&c);
	}
}

/* A process that died, then an open and a close without a write: what was replayed is flushed
 * by the close, and then the log holds nothing that is needed. */
static void test_close_a_store_that_was_replayed_and_not_written_to(void **state)
{
	struct scene c;
	struct env_sim *disk;
	unsigned int i;

	(void)state;
	scene_begin(&c, styles[0], 1);
	assert_int_equal(put(&c, 1, KV_SYNC), 0);
	assert_int_equal(put(&c, 2, KV_NONE), 0);
	disk = env_sim_crash(c.sim,
			     &(struct env_sim_point){ .at = env_sim_position(c.sim),
						      .loss = SIM_LOSE_NONE },
			     false);
	for (i = 0; i < 3; i++)
		assert_int_equal(check_open(disk, c.options, &c.model, NULL), 0);
	env_sim_free(disk);
	scene_end(&c);
}

/* Whatever the disk was left with: what is written now is newer. */
static int check_newer(void *arg, struct env_sim *disk, size_t at)
{
	struct scene *c = arg, now = { .writes = c->writes };
	int error = open_store(disk, "store", c->options, &now.kv);
	unsigned int key;

	(void)at;
	c->disks++;
	for (key = 0; !error && key < KEYS; key++)
		error = put(&now, key, KV_SYNC);
	if (!error)
		error = compare(now.kv, &now.model);
	if (error)
		print_error("%s: new writes are not seen (%d)\n", env_sim_origin(disk),
			    error);
	if (kv_close(now.kv) || error)
		return error ? error : -EIO;
	return check_open(disk, c->options, &now.model, NULL);
}

/* A log of several segments that is whole in the page cache and nowhere else: its sync failed, so
 * that closing could not flush either. */
static void leave_unsynced_log(struct scene *c, const char *options)
{
	const struct env_sim_fault no_sync = {
		.calls = 1u << SIM_SYNC, .nth = 1, .for_good = true, .path = "store/0"
	};
	unsigned int i;

	assert_int_equal(kv_close(c->kv), 0);
	assert_int_equal(open_store(c->sim, "store", options, &c->kv), 0);
	for (i = 0; i < 8 * KEYS; i++)
		assert_int_equal(put(c, i % KEYS, KV_NONE), 0);
	env_sim_fault(c->sim, &no_sync);
	assert_int_not_equal(kv_close(c->kv), 0);
	env_sim_fault(c->sim, NULL);
}

/* What a process that died had written to the log, and nobody had synced, is read again, and some
 * of it flushed; then the log's end is lost after all. Nothing of the tables may pass for newer
 * than what is written next. */
static void test_write_after_a_recovery_whose_log_was_lost(void **state)
{
	struct scene c;
	size_t from;

	(void)state;
	scene_begin(&c, SMALL, 1);
	leave_unsynced_log(&c, SMALL ",memtable_bytes=256k,memtables=2");
	from = env_sim_position(c.sim);
	assert_int_equal(open_store(c.sim, "store", SMALL, &c.kv), 0);
	assert_int_equal(compare(c.kv, &c.model), 0);
	c.options = SMALL;
	explore(&c, from, 1, check_newer, &c);
	print_message("%llu disks\n", (unsigned long long)c.disks);
	assert_true(!in_full() || c.disks > 20);
	scene_end(&c);
}

/* ---- deletes of ranges ---- */

enum { STATES = 40 };

struct ranges {
	struct scene *scene;
	struct model after[STATES + 1];
	size_t begun[STATES + 1], done[STATES + 1]; /* positions */
	unsigned int n;
};

/* One of the states from the last that was acknowledged to the last that had begun. */
static int check_ranges(void *arg, struct env_sim *disk, size_t at)
{
	struct ranges *r = arg;
	struct kv_msg why = { "" };
	unsigned int i, least = 0;
	struct kv *kv;
	int error = open_store(disk, "store", r->scene->options, &kv);

	if (error)
		return error;
	r->scene->disks++;
	while (least < r->n && r->done[least + 1] <= at)
		least++;
	error = 1;
	for (i = least; error == 1 && i <= r->n && (i == least || r->begun[i] < at); i++)
		error = compare(kv, &r->after[i]);
	if (!error)
		error = kv_verify(kv, &why);
	if (error)
		print_error("%s: no state from %u on (%d) %s\n", env_sim_origin(disk),
			    least, error, why.text);
	return kv_close(kv) ? -EIO : error;
}

/* Ranges that overlap, over keys that are written again between them. */
static void delete_ranges(struct scene *c, struct ranges *r)
{
	unsigned int i;

	for (i = 1; i <= STATES; i++) {
		unsigned int at = i * 11 % KEYS;

		r->begun[i] = env_sim_position(c->sim);
		if (i % 3 == 0)
			assert_int_equal(put(c, (at + 3) % KEYS, KV_SYNC), 0);
		else
			assert_int_equal(delete_range(c, at, at + 8, KV_SYNC), 0);
		r->done[i] = env_sim_position(c->sim);
		r->after[i] = c->model;
		r->n = i;
		if (i % 12 == 0)
			assert_int_equal(kv_compact(c->kv), 0);
	}
}

static void test_crash_at_every_write_of_range_deletes(void **state)
{
	static struct ranges r;
	struct scene c;
	size_t from, i;

	(void)state;
	for (i = 0; i < STYLES; i++) {
		r = (struct ranges){ .scene = &c };
		scene_begin(&c, styles[i], 1);
		fill(&c);
		r.after[0] = c.model;
		from = env_sim_position(c.sim);
		delete_ranges(&c, &r);
		explore(&c, from, 13, check_ranges, &r);
		print_message("%llu disks\n", (unsigned long long)c.disks);
		assert_true(!in_full() || c.disks > 20);
		scene_end(&c);
	}
}

/* ---- what readers see ---- */

enum { SIGHTS = 60, SYNCED = 30 };

struct sight { /* at this position a reader saw this write of key 0 */
	size_t at;
	unsigned int write;
};

struct watch {
	struct scene *scene;
	struct sight sight[SIGHTS];
	unsigned int n;
	bool over;
	int error;
};

static unsigned int number_of(const struct kv_buf *value)
{
	return value->len >= 4 ? port_get_le32(value->data) : 0;
}

/* Notes each new value as soon as it can be seen. */
static void read_on(void *arg)
{
	struct watch *w = arg;
	struct kv_buf got = { 0 };
	char name[KEY_BYTES];
	unsigned int last = 0;

	while (!w->over && !w->error) {
		int error = kv_get(w->scene->kv, key_of(0, name), &got);

		if (error && error != -ENOENT)
			w->error = error;
		if (!error && number_of(&got) != last && w->n < SIGHTS) {
			last = number_of(&got);
			w->sight[w->n++] =
				(struct sight){ env_sim_position(w->scene->sim), last };
		}
		env_sim_yield(w->scene->sim);
	}
	kv_buf_free(&got);
}

static void write_on(void *arg)
{
	struct watch *w = arg;
	unsigned int i;

	for (i = 0; !w->error && i < SYNCED; i++) {
		w->error = put(w->scene, 0, KV_SYNC);
		/* Before the next one, so that none is missed. */
		while (!w->error && w->n <= i)
			env_sim_yield(w->scene->sim);
	}
	w->over = true;
}

/* What somebody saw of a write at `sync` is there after any crash from then on. */
static void test_show_nothing_of_a_sync_write_that_a_crash_takes_back(void **state)
{
	struct scene c;
	struct watch w = { .scene = &c };
	struct kv_buf got = { 0 };
	struct env_task *task[2];
	char name[KEY_BYTES];
	struct env *env;
	unsigned int i;

	(void)state;
	scene_begin(&c, styles[0], 1);
	env = env_sim_env(c.sim);
	task[0] = env_sim_spawn_client(c.sim, read_on, &w);
	task[1] = env_sim_spawn_client(c.sim, write_on, &w);
	for (i = 0; i < 2; i++)
		env->ops->join(env, task[i]);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.n, SYNCED);
	for (i = 0; i < w.n; i++) {
		const struct env_sim_point p = { .at = w.sight[i].at,
						 .loss = SIM_LOSE_ALL };
		struct env_sim *disk = env_sim_crash(c.sim, &p, false);
		struct kv *kv;

		assert_int_equal(open_store(disk, "store", c.options, &kv), 0);
		assert_int_equal(kv_get(kv, key_of(0, name), &got), 0);
		assert_true(number_of(&got) >= w.sight[i].write);
		assert_int_equal(kv_close(kv), 0);
		env_sim_free(disk);
	}
	kv_buf_free(&got);
	scene_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_close_a_store_that_was_replayed_and_not_written_to),
		LEAK_CHECKED(test_crash_at_every_write_of_a_compaction),
		LEAK_CHECKED(test_crash_at_every_write_of_a_backup),
		LEAK_CHECKED(test_crash_at_every_write_of_a_recovery),
		LEAK_CHECKED(test_write_after_a_recovery_whose_log_was_lost),
		LEAK_CHECKED(test_crash_at_every_write_of_range_deletes),
		LEAK_CHECKED(test_show_nothing_of_a_sync_write_that_a_crash_takes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
