/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_files_tests.c - planted faults: the check of a store's files finds each of them, or it is
 * harmless; and salvage gives what is left, and says what may be old.
 *
 * Each fault is planted in a copy of a store's disk. Then
 *   - the files are checked, and the copy is opened and verified as a program would: what
 *     the open or the verification refuses must have been a fault; and where no fault was
 *     found, salvage must give every pair, and none in doubt;
 *   - what salvage gives must have been written once, and what is not the newest version of
 *     its key must be in doubt;
 *   - no byte of the directory may have been written.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../lsm_files.h"

#define OPTIONS                                                                               \
	"memory_bytes=1m,memtable_bytes=8k,segment_bytes=64k,table_bytes=4k,block_bytes=512," \
	"level_bytes=8k,ratio=2,flushed_runs=2,blob_bytes=90,huge=off,group_ms=1"

enum { KEYS = 60, PAGE = 4096, BATCH = 4 };

/* What a store went through, and what it must have. */
struct story {
	struct env_sim *disk;      /* nobody has it open */
	unsigned int writes[KEYS]; /* versions up to this were written */
	unsigned int truth[KEYS];  /* the newest; 0: deleted */
	unsigned int last; /* of this key the newest stands in the log's last record:
			    * nothing behind it proves that it was durable */
};

struct outcome {
	unsigned int facts, notes, faults;
	char text[4096]; /* of notes and faults */
	struct kv_msg why;
	int error;
};

struct salvaged {
	struct outcome found;
	unsigned int version[KEYS]; /* 0: not given */
	bool doubtful[KEYS];
	unsigned int missing, in_doubt;
};

/* ---- making stores ---- */

/* Some stand in blob files. */
static size_t value_bytes(unsigned int key)
{
	return key % 20 == 0 ? PAGE - 20 : key % 10 == 5 ? 100 : 24;
}

static struct kv *open_store(struct env_sim *disk)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&lsm_engine, env_sim_env(disk), "store", OPTIONS, &kv, &why))
		fail_msg("%s", why.text);
	return kv;
}

static void put(struct story *st, struct kv *kv, unsigned int key, enum kv_durability how)
{
	st->truth[key] = ++st->writes[key];
	assert_int_equal(fixture_put(kv, key, st->truth[key], value_bytes(key), how), 0);
}

static void take_out(struct story *st, struct kv *kv, unsigned int key)
{
	st->truth[key] = 0;
	assert_int_equal(fixture_delete(kv, key, KV_NONE), 0);
}

static void delete_range(struct story *st, struct kv *kv, unsigned int from,
			 unsigned int to)
{
	char a[FIXTURE_KEY], b[FIXTURE_KEY];
	const struct kv_op op = { KV_DELETE_RANGE, fixture_key(a, from),
				  fixture_key(b, to) };

	assert_int_equal(kv_write(kv, &op, 1, KV_NONE), 0);
	for (; from < to; from++)
		st->truth[from] = 0;
}

/* Puts, and a delete of the last. */
static void batch(struct story *st, struct kv *kv, unsigned int first,
		  enum kv_durability how)
{
	static char v[BATCH][FIXTURE_VALUE];
	char k[BATCH][FIXTURE_KEY];
	struct kv_op op[BATCH];
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		unsigned int key = first + i;

		st->truth[key] = ++st->writes[key];
		op[i] = (struct kv_op){
			i + 1 < BATCH ? KV_PUT : KV_DELETE, fixture_key(k[i], key),
			fixture_value(v[i], key, st->truth[key], value_bytes(key))
		};
	}
	st->truth[first + BATCH - 1] = 0;
	assert_int_equal(kv_write(kv, op, BATCH, how), 0);
}

static void first_session(struct story *st)
{
	struct kv *kv = open_store(st->disk);
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		put(st, kv, i * 7 % KEYS, KV_NONE);
	for (i = 0; i < KEYS; i += 9)
		take_out(st, kv, i);
	assert_int_equal(kv_close(kv), 0);
}

static void second_session(struct story *st)
{
	struct kv *kv = open_store(st->disk);
	unsigned int i;

	for (i = 0; i < KEYS; i += 2)
		put(st, kv, i, i % 8 ? KV_NONE : KV_SYNC);
	delete_range(st, kv, 31, 36);
	batch(st, kv, 48, KV_NONE);
	put(st, kv, 33, KV_NONE);
	assert_int_equal(kv_close(kv), 0);
}

/* Writes that are not flushed; then the process is gone. */
static void killed_session(struct story *st)
{
	struct kv *kv = open_store(st->disk);
	struct env_sim *left;
	unsigned int i;

	for (i = 1; i < KEYS; i += 3)
		put(st, kv, i, i % 5 ? KV_NONE : KV_SYNC);
	delete_range(st, kv, 20, 24);
	batch(st, kv, 40, KV_SYNC);
	take_out(st, kv, 7);
	st->last = 21;
	for (i = 0; i < 3; i++)
		put(st, kv, st->last, KV_SYNC);
	left = env_sim_copy(st->disk, false);
	assert_int_equal(kv_close(kv), 0);
	env_sim_free(st->disk);
	st->disk = left;
}

static void story_begin(struct story *st)
{
	memset(st, 0, sizeof(*st));
	st->last = KEYS;
	st->disk = env_sim_new(&(struct env_sim_config){ .seed = 5, .no_journal = true });
}

static void make_closed(struct story *st)
{
	story_begin(st);
	first_session(st);
	second_session(st);
}

static void make_killed(struct story *st)
{
	make_closed(st);
	killed_session(st);
}

static void story_end(struct story *st)
{
	env_sim_free(st->disk);
}

/* ---- looking ---- */

static int note_finding(void *arg, const struct kv_finding *f)
{
	struct outcome *o = arg;
	size_t at = strlen(o->text);

	assert_true(f->text && *f->text);
	o->facts += f->kind == KV_FOUND_FACT;
	o->notes += f->kind == KV_FOUND_NOTE;
	o->faults += f->kind == KV_FOUND_FAULT;
	if (f->kind != KV_FOUND_FACT)
		(void)snprintf(o->text + at, sizeof(o->text) - at, "[%s %llu+%llu: %s]",
			       f->file ? f->file : "-", (unsigned long long)f->offset,
			       (unsigned long long)f->bytes, f->text);
	return 0;
}

static uint64_t changes(struct env_sim *disk)
{
	return env_sim_calls(disk, 1u << SIM_WRITE | 1u << SIM_SYNC | 1u << SIM_ALLOCATE |
					   1u << SIM_TRUNCATE | 1u << SIM_UNLINK |
					   1u << SIM_RENAME | 1u << SIM_MKDIR |
					   1u << SIM_RMDIR | 1u << SIM_SYNC_DIR |
					   1u << SIM_MAP);
}

static struct outcome check_files(struct env_sim *disk)
{
	struct outcome o = { 0 };
	uint64_t before = changes(disk);

	o.error = lsm_inspect.check(env_sim_env(disk), "store", note_finding, &o, &o.why);
	assert_int_equal(changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return o;
}

static int take_pair(void *arg, const struct kv_salvaged *p)
{
	struct salvaged *s = arg;
	char text[FIXTURE_KEY] = "";
	unsigned int key;

	assert_true(p->key.len < sizeof(text));
	memcpy(text, p->key.data, p->key.len);
	assert_int_equal(sscanf(text, "key%u", &key), 1);
	if (key >= KEYS || s->version[key])
		fail_msg("%s is given twice, or was never written", text);
	s->version[key] =
		fixture_version(key, value_bytes(key), p->value.data, p->value.len);
	if (s->version[key] == UINT_MAX)
		fail_msg("%s: a value that was never written", text);
	s->doubtful[key] = p->doubtful;
	return 0;
}

static int note_salvage(void *arg, const struct kv_finding *f)
{
	return note_finding(&((struct salvaged *)arg)->found, f);
}

static struct salvaged salvage(struct env_sim *disk)
{
	struct salvaged s = { 0 };
	uint64_t before = changes(disk);

	s.found.error = lsm_inspect.salvage(env_sim_env(disk), "store", take_pair,
					    note_salvage, &s, &s.found.why);
	assert_int_equal(changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return s;
}

/* Nothing false, and nothing old that is not in doubt. */
static void expect_honest(const struct story *st, struct salvaged *s, const char *damage)
{
	unsigned int key;

	if (s->found.error)
		fail_msg("%s: salvage says %d: %s", damage, s->found.error,
			 s->found.why.text);
	for (key = 0; key < KEYS; key++) {
		if (s->version[key] > st->writes[key])
			fail_msg("%s: key %u: version %u was never written", damage, key,
				 s->version[key]);
		s->missing += st->truth[key] && !s->version[key];
		s->in_doubt += s->doubtful[key];
		if (s->version[key] && s->version[key] != st->truth[key] &&
		    !s->doubtful[key] && key != st->last)
			fail_msg("%s: key %u: version %u of %u is not in doubt: %s",
				 damage, key, s->version[key], st->truth[key],
				 s->found.text);
	}
}

/* 0: it opens, verifies, and every key has its value. */
static int use(const struct story *st, struct env_sim *disk, const char *damage)
{
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char k[FIXTURE_KEY];
	unsigned int key;
	int error, failed = 0;

	error = kv_open(&lsm_engine, env_sim_env(disk), "store", OPTIONS, &kv, &why);
	if (error)
		return error;
	for (key = 0; key < KEYS; key++) {
		error = kv_get(kv, fixture_key(k, key), &value);
		if (error == -EBADMSG)
			failed = error;
		else if (error ? error != -ENOENT || st->truth[key]
			       : key != st->last &&
					 fixture_version(key, value_bytes(key),
							 value.data,
							 value.len) != st->truth[key])
			fail_msg("%s: opened, and key %u is wrong", damage, key);
	}
	error = kv_verify(kv, &why);
	kv_buf_free(&value);
	assert_int_equal(kv_close(kv), 0);
	return error ? error : failed;
}

static int count_line(void *arg, const char *line)
{
	assert_true(strlen(line) < 1024);
	*(unsigned int *)arg += 1;
	return 0;
}

struct tally {
	uint64_t faults, notes, silent;
	unsigned int most_missing, most_in_doubt;
};

/* disk is the story's with a fault in it. */
static struct outcome judge(const struct story *st, struct env_sim *disk,
			    const char *damage, struct tally *t)
{
	struct outcome o = check_files(disk);
	struct salvaged s;
	unsigned int lines = 0;
	int error;

	if (o.error)
		fail_msg("%s: the check says %d: %s", damage, o.error, o.why.text);
	s = salvage(disk);
	expect_honest(st, &s, damage);
	if (!o.faults && (s.missing || s.in_doubt || s.found.faults))
		fail_msg("%s: no fault was found, and salvage misses %u, doubts %u: %s",
			 damage, s.missing, s.in_doubt, s.found.text);
	assert_int_equal(lsm_inspect.structure(env_sim_env(disk), "store", count_line,
					       &lines, NULL),
			 0);
	assert_true(lines > 3);
	error = use(st, disk, damage);
	if (error && !o.faults)
		fail_msg("%s: no fault was found (%s), and a use says %d", damage, o.text,
			 error);
	t->faults += o.faults > 0;
	t->notes += !o.faults && o.notes;
	t->silent += !o.faults && !o.notes;
	if (t->most_missing < s.missing)
		t->most_missing = s.missing;
	if (t->most_in_doubt < s.in_doubt)
		t->most_in_doubt = s.in_doubt;
	return o;
}

static void print_tally(const char *name, const struct tally *t)
{
	print_message("%s: %llu faults, %llu notes, %llu without a trace; at most %u "
		      "pairs missing, %u in doubt\n",
		      name, (unsigned long long)t->faults, (unsigned long long)t->notes,
		      (unsigned long long)t->silent, t->most_missing, t->most_in_doubt);
}

/* ---- files ---- */

struct names {
	const char *before;
	char name[64][40];
	size_t n;
};

static int add_name(void *arg, const char *name)
{
	struct names *f = arg;

	assert_true(f->n < 64 && strlen(name) < 30);
	if (!strstr(name, ".spare") && strcmp(name, "LOCK") != 0 &&
	    strcmp(name, "manifest") != 0)
		(void)snprintf(f->name[f->n++], sizeof(f->name[0]), "%s%s", f->before,
			       name);
	return 0;
}

static void list(struct env_sim *disk, struct names *out)
{
	struct env *env = env_sim_env(disk);

	out->n = 0;
	out->before = "";
	assert_int_equal(env->ops->list(env, "store", add_name, out), 0);
	out->before = "manifest/";
	assert_int_equal(env->ops->list(env, "store/manifest", add_name, out), 0);
}

static struct file *open_file(struct env_sim *disk, const char *name)
{
	char path[ENV_PATH_MAX];
	struct file *f;

	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_open(env_sim_env(disk), path, ENV_READ | ENV_WRITE, &f), 0);
	return f;
}

static void read_file(struct env_sim *disk, const char *name, struct kv_buf *out)
{
	char path[ENV_PATH_MAX];

	out->len = 0;
	assert_int_equal(env_path(path, "store", name), 0);
	assert_int_equal(env_read_file(env_sim_env(disk), path, 64 << 20, out), 0);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

/* ---- the tests ---- */

static void test_sound_store_has_neither_fault_nor_note(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct outcome o;

	(void)state;
	make_closed(&st);
	o = judge(&st, st.disk, "none", &t);
	if (o.faults || o.notes)
		fail_msg("%s", o.text);
	assert_true(o.facts >= 1);
	story_end(&st);
}

static void test_store_whose_process_died_has_no_fault(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct outcome o;

	(void)state;
	make_killed(&st);
	o = judge(&st, st.disk, "killed", &t);
	if (o.faults)
		fail_msg("%s", o.text);
	story_end(&st);
}

/* ---- one file alone ---- */

struct text { /* what the lines say */
	unsigned int lines, entries, records, changes, tables, no_edits;
};

static int count_kinds(void *arg, const char *line)
{
	struct text *t = arg;

	t->lines++;
	t->entries += !strncmp(line, "    '", 5);
	t->records += !strncmp(line, "    ", 4) && strstr(line, ": \"") != NULL;
	t->changes += strstr(line, ", serial ") != NULL;
	t->tables += !strncmp(line, "    add to level ", 17);
	t->no_edits += strstr(line, "no edit") != NULL;
	return 0;
}

static int dump_alone(struct env_sim *disk, const char *path, struct text *t)
{
	struct kv_msg why = { "" };
	uint64_t before = changes(disk);
	int error;

	*t = (struct text){ 0 };
	error = lsm_inspect.structure_of(env_sim_env(disk), path, count_kinds, t, &why);
	assert_true(!error || error == -EOPNOTSUPP || *why.text);
	assert_int_equal(changes(disk), before);
	assert_int_equal(env_sim_live(disk), 0);
	return error;
}

static void test_each_file_alone_as_text(void **state)
{
	struct story st;
	struct names f;
	struct text t;
	char path[ENV_PATH_MAX];
	unsigned int tables = 0, blobs = 0;
	size_t i;

	(void)state;
	make_closed(&st);
	list(st.disk, &f);
	for (i = 0; i < f.n; i++) {
		const bool table = strstr(f.name[i], ".sst");
		const bool blob = strstr(f.name[i], ".blob");

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(dump_alone(st.disk, path, &t),
				 table || blob ? 0 : -EOPNOTSUPP);
		tables += table && t.entries > 0;
		blobs += blob && t.records > 0;
		if (table || blob) {
			assert_int_equal(env_sim_flip(st.disk, path, 20, 1), 0);
			assert_int_equal(dump_alone(st.disk, path, &t), -EBADMSG);
		}
	}
	assert_true(tables > 0 && blobs > 0);
	assert_int_equal(dump_alone(st.disk, "store", &t), -EOPNOTSUPP);
	assert_int_equal(dump_alone(st.disk, "store/absent.sst", &t), -ENOENT);
	assert_int_equal(dump_alone(st.disk, "store/absent.blob", &t), -ENOENT);
	assert_int_equal(dump_alone(st.disk, "absent/manifest", &t), -ENOENT);
	story_end(&st);
}

static void test_manifest_alone_as_text(void **state)
{
	struct story st;
	struct text t, damaged;
	struct names f;
	char path[ENV_PATH_MAX];

	(void)state;
	make_killed(&st);
	assert_int_equal(dump_alone(st.disk, "store/manifest/", &t), 0);
	assert_true(t.changes > 0 && t.tables > 0 && !t.no_edits);
	f = (struct names){ .before = "manifest/" };
	assert_int_equal(env_sim_env(st.disk)->ops->list(env_sim_env(st.disk),
							 "store/manifest", add_name, &f),
			 0);
	assert_int_equal(env_path(path, "store", f.name[0]), 0);
	assert_int_equal(env_sim_flip(st.disk, path, 100, 1), 0);
	assert_int_equal(dump_alone(st.disk, "store/manifest", &damaged), 0);
	assert_true(damaged.changes < t.changes);
	story_end(&st);
}

/* Bytes of all files that hold something, one in so many. */
static void flip_bytes(struct story *st, const char *what, uint64_t seed, struct tally *t)
{
	struct names f;
	struct kv_buf bytes = { 0 };
	uint64_t offset;
	size_t i;

	list(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = 41 * test_one_in(2);

		read_file(st->disk, f.name[i], &bytes);
		for (offset = i % 5; offset < bytes.len; offset += step) {
			struct env_sim *disk;
			char damage[128], path[ENV_PATH_MAX];
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);

			if (is_zero((uint8_t *)bytes.data + offset, bytes.len - offset))
				break;
			disk = env_sim_copy(st->disk, false);
			(void)snprintf(damage, sizeof(damage), "%s: byte %llu xor %02x",
				       f.name[i], (unsigned long long)offset, mask);
			assert_int_equal(env_path(path, "store", f.name[i]), 0);
			assert_int_equal(env_sim_flip(disk, path, offset, mask), 0);
			(void)judge(st, disk, damage, t);
			env_sim_free(disk);
		}
	}
	kv_buf_free(&bytes);
	print_tally(what, t);
	assert_true(t->faults);
}

static void test_bytes_of_a_closed_store(void **state)
{
	struct story st;
	struct tally t = { 0 };

	(void)state;
	make_closed(&st);
	flip_bytes(&st, "closed", 3, &t);
	story_end(&st);
}

static void test_bytes_of_a_store_whose_process_died(void **state)
{
	struct story st;
	struct tally t = { 0 };

	(void)state;
	make_killed(&st);
	flip_bytes(&st, "killed", 4, &t);
	story_end(&st);
}

static void test_files_cut_anywhere(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct names f;
	size_t i;

	(void)state;
	make_closed(&st);
	list(st.disk, &f);
	for (i = 0; i < f.n; i++) {
		uint64_t step = 211 * test_one_in(2), size, end;
		struct file *file = open_file(st.disk, f.name[i]);

		assert_int_equal(file->ops->size(file, &end), 0);
		file_close(file);
		for (size = 0; size < end && size < 4096; size += step) {
			struct env_sim *disk = env_sim_copy(st.disk, false);
			char damage[128];

			file = open_file(disk, f.name[i]);
			assert_int_equal(file->ops->truncate(file, size), 0);
			file_close(file);
			(void)snprintf(damage, sizeof(damage), "%s: cut to %llu",
				       f.name[i], (unsigned long long)size);
			(void)judge(&st, disk, damage, &t);
			env_sim_free(disk);
		}
	}
	print_tally("cut", &t);
	assert_true(t.faults);
	story_end(&st);
}

static void test_each_file_missing(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct names f;
	size_t i;

	(void)state;
	make_closed(&st);
	list(st.disk, &f);
	for (i = 0; i < f.n; i++) {
		struct env_sim *disk = env_sim_copy(st.disk, false);
		struct env *env = env_sim_env(disk);
		char path[ENV_PATH_MAX];

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		(void)judge(&st, disk, f.name[i], &t);
		env_sim_free(disk);
	}
	print_tally("missing", &t);
	assert_true(t.faults);
	story_end(&st);
}

static int refuse_pair(void *arg, const struct kv_salvaged *p)
{
	(void)p;
	*(unsigned int *)arg += 1;
	return -EIO;
}

static int ignore_finding(void *arg, const struct kv_finding *f)
{
	(void)arg, (void)f;
	return 0;
}

/* What the receiver of a pair says ends the work, whatever it is. */
static void test_who_takes_pairs_may_end_it(void **state)
{
	struct story st;
	struct kv_msg why;
	unsigned int given = 0;

	(void)state;
	make_closed(&st);
	assert_int_equal(lsm_inspect.salvage(env_sim_env(st.disk), "store", refuse_pair,
					     ignore_finding, &given, &why),
			 -EIO);
	assert_int_equal(given, 1);
	story_end(&st);
}

static void test_out_of_memory_is_said(void **state)
{
	struct story st;
	struct outcome o;
	struct salvaged s;
	uint64_t n;

	(void)state;
	make_killed(&st);
	for (n = 1;; n += 1 + n / 16) {
		port_fault_set(n, false);
		o = check_files(st.disk);
		if (!o.error)
			break;
		assert_int_equal(o.error, -ENOMEM);
	}
	assert_true(n > 5);
	for (n = 1;; n += 1 + n / 16) {
		port_fault_set(n, false);
		s = salvage(st.disk);
		if (!s.found.error)
			break;
		assert_int_equal(s.found.error, -ENOMEM);
	}
	assert_true(n > 40);
	port_fault_set(0, false);
	story_end(&st);
}

static void test_store_that_is_open_is_left_alone(void **state)
{
	struct story st;
	struct outcome o = { 0 };
	struct kv *kv;

	(void)state;
	make_closed(&st);
	kv = open_store(st.disk);
	o.error = lsm_inspect.check(env_sim_env(st.disk), "store", note_finding, &o,
				    &o.why);
	assert_int_equal(o.error, -EBUSY);
	assert_non_null(strstr(o.why.text, "close it there first"));
	assert_int_equal(kv_close(kv), 0);
	story_end(&st);
}

static void test_what_is_no_store_is_refused(void **state)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct outcome o = { 0 };

	(void)state;
	assert_int_equal(lsm_inspect.recognise(env, "store"), KV_NOT_MINE);
	assert_int_equal(env->ops->mkdir(env, "store"), 0);
	assert_int_equal(lsm_inspect.recognise(env, "store"), KV_NOT_MINE);
	o.error = lsm_inspect.check(env, "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -ENOENT);
	env_sim_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_sound_store_has_neither_fault_nor_note),
		LEAK_CHECKED(test_store_whose_process_died_has_no_fault),
		LEAK_CHECKED(test_each_file_alone_as_text),
		LEAK_CHECKED(test_manifest_alone_as_text),
		LEAK_CHECKED(test_each_file_missing),
		LEAK_CHECKED(test_bytes_of_a_closed_store),
		LEAK_CHECKED(test_bytes_of_a_store_whose_process_died),
		LEAK_CHECKED(test_files_cut_anywhere),
		LEAK_CHECKED(test_who_takes_pairs_may_end_it),
		LEAK_CHECKED(test_out_of_memory_is_said),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
