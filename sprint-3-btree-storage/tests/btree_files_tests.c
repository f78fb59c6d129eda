/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files_tests.c - planted faults: the check of a store's files finds each of them, or
 * it is harmless; and salvage gives what is left, and says what may be old.
 *
 * Each fault is planted in a copy of a store's disk. Then
 *   - the files are checked, and the copy is opened and verified as a program would: what
 *     the open or the verification refuses must have been a fault; and where no fault was
 *     found, salvage must give every pair, and none in doubt;
 *   - what salvage gives must have been written once, and what is not the newest version of
 *     its key must be in doubt; only as much may be missing as the damage can have cost;
 *   - no byte of the directory may have been written.
 */
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/hash_store_fixture.h"
#include "../btree_files.h"

#define OPTIONS "segment_bytes=64k,max_keys=8,overflow_bytes=64,huge=off,group_ms=1"

enum { KEYS = 60, PAGE = 4096, LEAF = 8, BATCH = 4 };

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

/* Some are on one page of their own, some on two. */
static size_t value_bytes(unsigned int key)
{
	return key % 20 == 0 ? PAGE - 20 : key % 10 == 5 ? 100 : 24;
}

static struct kv *open_store(struct env_sim *disk)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;

	if (kv_open(&btree_engine, env_sim_env(disk), "store", OPTIONS, &kv, &why))
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

/* Writes behind the last checkpoint; then the process is gone. */
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

	o.error =
		btree_inspect.check(env_sim_env(disk), "store", note_finding, &o, &o.why);
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

	s.found.error = btree_inspect.salvage(env_sim_env(disk), "store", take_pair,
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

	error = kv_open(&btree_engine, env_sim_env(disk), "store", OPTIONS, &kv, &why);
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
	assert_true(strlen(line) < 320);
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
	assert_int_equal(btree_inspect.structure(env_sim_env(disk), "store", count_line,
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
	char name[32][32];
	size_t n;
};

static int add_name(void *arg, const char *name)
{
	struct names *f = arg;

	assert_true(f->n < 32 && strlen(name) < sizeof(f->name[0]));
	if (!strstr(name, ".spare") && strcmp(name, "LOCK") != 0)
		memcpy(f->name[f->n++], name, strlen(name) + 1);
	return 0;
}

static void list(struct env_sim *disk, struct names *out)
{
	struct env *env = env_sim_env(disk);

	out->n = 0;
	assert_int_equal(env->ops->list(env, "store", add_name, out), 0);
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

static void write_page(struct env_sim *disk, size_t page, const void *bytes)
{
	struct file *f = open_file(disk, "TREE");

	assert_int_equal(file_write(f, page * PAGE, bytes, PAGE), 0);
	file_close(f);
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
	assert_true(o.facts >= 2);
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

/* Bytes of pages and of the log that hold something, one in so many. */
static void flip_bytes(struct story *st, const char *what, uint64_t seed, struct tally *t)
{
	struct names f;
	struct kv_buf bytes = { 0 };
	uint64_t offset;
	size_t i;

	list(st->disk, &f);
	for (i = 0; i < f.n; i++) {
		bool tree = !strcmp(f.name[i], "TREE");
		uint64_t step = (tree ? 67 : 29) * test_one_in(2);

		read_file(st->disk, f.name[i], &bytes);
		for (offset = 0; offset < bytes.len; offset += step) {
			struct env_sim *disk;
			char damage[128], path[ENV_PATH_MAX];
			uint8_t mask = (uint8_t)(1u << fixture_random(&seed) % 8);
			uint64_t from = offset / PAGE * PAGE;

			if (is_zero((uint8_t *)bytes.data + from,
				    bytes.len - from < PAGE ? bytes.len - from : PAGE)) {
				offset = from + PAGE - step;
				continue;
			}
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
	assert_true(t->faults && t->notes);
}

/* All is in the tree, and one byte costs a leaf or a value at most. */
static void test_bytes_of_a_closed_store(void **state)
{
	struct story st;
	struct tally t = { 0 };

	(void)state;
	make_closed(&st);
	flip_bytes(&st, "closed", 3, &t);
	assert_true(t.most_missing <= LEAF && t.most_in_doubt <= LEAF);
	story_end(&st);
}

/* A byte of the log costs a batch at most, and may put all into doubt. */
static void test_bytes_of_a_store_whose_process_died(void **state)
{
	struct story st;
	struct tally t = { 0 };

	(void)state;
	make_killed(&st);
	flip_bytes(&st, "killed", 4, &t);
	assert_true(t.most_missing <= LEAF);
	story_end(&st);
}

static void test_zeroed_pages(void **state)
{
	static const uint8_t zero[PAGE];
	struct story st;
	struct tally t = { 0 };
	struct kv_buf tree = { 0 };
	size_t page;

	(void)state;
	make_killed(&st);
	read_file(st.disk, "TREE", &tree);
	for (page = 0; page < tree.len / PAGE; page++) {
		struct env_sim *disk;
		char damage[64];

		if (is_zero((uint8_t *)tree.data + page * PAGE, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, zero);
		(void)snprintf(damage, sizeof(damage), "page %zu zeroed", page);
		(void)judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	print_tally("zeroed", &t);
	assert_true(t.faults > 5);
	kv_buf_free(&tree);
	story_end(&st);
}

/* A write that went elsewhere: the page has another one's bytes, CRC and all. */
static void test_misplaced_pages(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct kv_buf tree = { 0 };
	size_t page, pages;

	(void)state;
	make_closed(&st);
	read_file(st.disk, "TREE", &tree);
	pages = tree.len / PAGE;
	for (page = 2; page + 1 < pages; page++) {
		const uint8_t *next = (uint8_t *)tree.data + (page + 1) * PAGE;
		struct env_sim *disk;
		char damage[64];

		if (is_zero(next, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, next);
		(void)snprintf(damage, sizeof(damage), "page %zu is as the next", page);
		(void)judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	print_tally("misplaced", &t);
	assert_true(t.faults > 5 && t.most_missing <= LEAF);
	kv_buf_free(&tree);
	story_end(&st);
}

/* A write that was never done: the page is as it was at the checkpoint before. */
static void test_pages_of_before(void **state)
{
	struct story st;
	struct tally t = { 0 };
	struct kv_buf before = { 0 }, after = { 0 };
	size_t page;

	(void)state;
	story_begin(&st);
	first_session(&st);
	read_file(st.disk, "TREE", &before);
	second_session(&st);
	read_file(st.disk, "TREE", &after);
	for (page = 2; page < before.len / PAGE && page < after.len / PAGE; page++) {
		const uint8_t *old = (uint8_t *)before.data + page * PAGE;
		struct env_sim *disk;
		char damage[64];

		if (!memcmp(old, (uint8_t *)after.data + page * PAGE, PAGE))
			continue;
		disk = env_sim_copy(st.disk, false);
		write_page(disk, page, old);
		(void)snprintf(damage, sizeof(damage), "page %zu is old", page);
		(void)judge(&st, disk, damage, &t);
		env_sim_free(disk);
	}
	print_tally("old", &t);
	assert_true(t.faults && t.most_missing <= LEAF);
	kv_buf_free(&before);
	kv_buf_free(&after);
	story_end(&st);
}

/* Of a store that was closed: its checkpoint knows how far the log went. */
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
		uint64_t step =
			(strcmp(f.name[i], "TREE") ? 211 : 3 * PAGE - 5) * test_one_in(2);
		uint64_t size, end;
		struct file *file = open_file(st.disk, f.name[i]);

		assert_int_equal(file->ops->size(file, &end), 0);
		file_close(file);
		for (size = 0; size < end; size += step) {
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
		struct outcome o;

		assert_int_equal(env_path(path, "store", f.name[i]), 0);
		assert_int_equal(env->ops->unlink(env, path), 0);
		o = judge(&st, disk, f.name[i], &t);
		if (!strcmp(f.name[i], "TREE"))
			assert_true(o.faults);
		env_sim_free(disk);
	}
	print_tally("missing", &t);
	assert_true(t.faults);
	story_end(&st);
}

/* Nothing says which pages count: the youngest leaves do, and all is in doubt. */
static void test_store_without_superblocks(void **state)
{
	static const uint8_t zero[PAGE];
	struct story st;
	struct salvaged s;
	unsigned int key;

	(void)state;
	make_closed(&st);
	write_page(st.disk, 0, zero);
	write_page(st.disk, 1, zero);
	assert_true(check_files(st.disk).faults);
	s = salvage(st.disk);
	expect_honest(&st, &s, "no superblocks");
	assert_int_equal(s.missing, 0);
	for (key = 0; key < KEYS; key++)
		if (st.truth[key])
			assert_int_equal(s.version[key], st.truth[key]);
	assert_int_equal(btree_files_recognise(env_sim_env(st.disk), "store"), KV_MINE);
	story_end(&st);
}

static void test_segment_of_another_store(void **state)
{
	struct story st, other;
	struct kv_buf bytes = { 0 };
	struct outcome o;
	struct tally t = { 0 };
	struct names f;
	struct file *file;
	size_t i;

	(void)state;
	make_killed(&st);
	story_begin(&other);
	env_sim_free(other.disk);
	other.disk =
		env_sim_new(&(struct env_sim_config){ .seed = 6, .no_journal = true });
	first_session(&other);
	list(other.disk, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".log"); i++)
		;
	assert_true(i < f.n);
	read_file(other.disk, f.name[i], &bytes);
	list(st.disk, &f);
	for (i = 0; i < f.n && !strstr(f.name[i], ".log"); i++)
		;
	assert_true(i < f.n);
	file = open_file(st.disk, f.name[i]);
	assert_int_equal(file_write(file, 0, bytes.data, bytes.len), 0);
	file_close(file);
	o = judge(&st, st.disk, "foreign segment", &t);
	assert_true(o.faults);
	assert_non_null(strstr(o.text, "not known to be of this store"));
	kv_buf_free(&bytes);
	story_end(&other);
	story_end(&st);
}

/* ---- crashes, devices, memory ---- */

static int check_crashed(void *arg, struct env_sim *disk, size_t at)
{
	struct outcome o;
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	struct file *f;
	int error;

	(void)arg;
	/* Before it has its name, it is no store. */
	if (env_open(env_sim_env(disk), "store/TREE", ENV_READ, &f))
		return 0;
	file_close(f);
	o = check_files(disk);
	if (o.error || o.faults) {
		print_error("crash at %zu: %d, %s\n", at, o.error, o.text);
		return -1;
	}
	error = kv_open(&btree_engine, env_sim_env(disk), "store", OPTIONS, &kv, &why);
	if (error)
		return error;
	error = kv_verify(kv, &why);
	(void)kv_close(kv);
	o = check_files(disk);
	if (error || o.error || o.faults) {
		print_error("opened after a crash at %zu: %d %d, %s\n", at, error,
			    o.error, o.text);
		return -1;
	}
	return 0;
}

static void test_crash_is_no_fault(void **state)
{
	struct story st;
	struct env_sim_explore e = { .samples = 4,
				     .exhaustive = 8,
				     .check = check_crashed };

	(void)state;
	e.every = (unsigned int)(3 * test_one_in(2));
	memset(&st, 0, sizeof(st));
	st.disk = env_sim_new(&(struct env_sim_config){ .seed = 8 });
	first_session(&st);
	second_session(&st);
	if (env_sim_explore(st.disk, &e))
		fail_msg("%s", e.failed);
	print_message("%llu crashes\n", (unsigned long long)e.states);
	story_end(&st);
}

/* Any read that fails once is read again. */
static void test_read_that_fails_once_loses_nothing(void **state)
{
	struct story st;
	uint64_t n;

	(void)state;
	make_killed(&st);
	for (n = 1;; n += test_scale()) {
		struct env_sim_fault fault = { .calls = 1u << SIM_READ, .nth = n };
		struct env_sim *disk = env_sim_copy(st.disk, false);
		struct salvaged s;
		bool fired;

		env_sim_fault(disk, &fault);
		s = salvage(disk);
		fired = env_sim_fault_fired(disk);
		expect_honest(&st, &s, "one read failed");
		env_sim_free(disk);
		if (!fired)
			break;
		/* A segment's header is not read twice; its records are. */
		assert_int_equal(s.missing, 0);
	}
	assert_true(n > 10);
	story_end(&st);
}

/* One page that the tree needs: salvage then looks at all others as well. */
static void damage_tree(struct story *st)
{
	struct env_sim *disk;
	uint64_t page;

	for (page = 2;; page++) {
		disk = env_sim_copy(st->disk, false);
		assert_int_equal(env_sim_flip(disk, "store/TREE", page * PAGE + 100, 1),
				 0);
		if (check_files(disk).faults)
			break;
		env_sim_free(disk);
	}
	env_sim_free(st->disk);
	st->disk = disk;
}

static void test_out_of_memory_is_said(void **state)
{
	struct story st;
	struct outcome o;
	struct salvaged s;
	unsigned int lines;
	uint64_t n;
	int error;

	(void)state;
	make_killed(&st);
	damage_tree(&st);
	for (n = 1;; n++) {
		port_fault_set(n, false);
		o = check_files(st.disk);
		if (!o.error)
			break;
		assert_int_equal(o.error, -ENOMEM);
	}
	assert_true(n > 5);
	for (n = 1;; n++) {
		port_fault_set(n, false);
		s = salvage(st.disk);
		if (!s.found.error)
			break;
		assert_int_equal(s.found.error, -ENOMEM);
	}
	assert_true(n > 40);
	for (n = 1, error = -1; error; n++) {
		port_fault_set(n, false);
		lines = 0;
		error = btree_inspect.structure(env_sim_env(st.disk), "store", count_line,
						&lines, NULL);
		assert_true(!error || error == -ENOMEM);
	}
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
	o.error = btree_inspect.check(env_sim_env(st.disk), "store", note_finding, &o,
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
	struct file *f;

	(void)state;
	assert_int_equal(btree_inspect.recognise(env, "store"), KV_NOT_MINE);
	assert_int_equal(env->ops->mkdir(env, "store"), 0);
	assert_int_equal(btree_inspect.recognise(env, "store"), KV_NOT_MINE);
	o.error = btree_inspect.check(env, "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -ENOENT);
	assert_int_equal(env_open(env, "store/TREE", ENV_WRITE | ENV_CREATE, &f), 0);
	file_close(f);
	assert_int_equal(btree_inspect.recognise(env, "store"), KV_PERHAPS_MINE);
	o.error = btree_inspect.check(env, "store", note_finding, &o, &o.why);
	assert_int_equal(o.error, -EBADMSG);
	assert_true(o.why.text[0]);
	env_sim_free(disk);
}

/* ---- key ranges ---- */

/* Against a model of bits: ranges of one-byte keys, added at random. */
static void test_cover_is_a_set_of_keys(void **state)
{
	uint64_t seed = 11, round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		struct btree_cover c = { 0 };
		bool model[256] = { false };
		uint8_t key;

		for (i = 0; i < 20; i++) {
			uint8_t from = (uint8_t)fixture_random(&seed);
			uint8_t to = (uint8_t)fixture_random(&seed);
			bool endless = !(fixture_random(&seed) % 16);
			unsigned int k;

			if (from >= to)
				continue;
			assert_int_equal(btree_cover_add(&c, kv_slice(&from, 1),
							 endless ? kv_slice(NULL, 0)
								 : kv_slice(&to, 1)),
					 0);
			for (k = from; k < (endless ? 256u : to); k++)
				model[k] = true;
		}
		for (i = 0; i < 256; i++) {
			key = (uint8_t)i;
			assert_int_equal(btree_cover_has(&c, kv_slice(&key, 1)),
					 model[i]);
		}
		for (i = 1; i < c.n; i++)
			assert_true(c.span[i - 1].upper &&
				    kv_compare(kv_slice(c.span[i - 1].upper, 1),
					       kv_slice(c.span[i].lower, 1)) < 0);
		btree_cover_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_cover_is_a_set_of_keys),
		LEAK_CHECKED(test_sound_store_has_neither_fault_nor_note),
		LEAK_CHECKED(test_store_whose_process_died_has_no_fault),
		LEAK_CHECKED(test_bytes_of_a_closed_store),
		LEAK_CHECKED(test_bytes_of_a_store_whose_process_died),
		LEAK_CHECKED(test_zeroed_pages),
		LEAK_CHECKED(test_misplaced_pages),
		LEAK_CHECKED(test_pages_of_before),
		LEAK_CHECKED(test_files_cut_anywhere),
		LEAK_CHECKED(test_each_file_missing),
		LEAK_CHECKED(test_store_without_superblocks),
		LEAK_CHECKED(test_segment_of_another_store),
		LEAK_CHECKED(test_crash_is_no_fault),
		LEAK_CHECKED(test_read_that_fails_once_loses_nothing),
		LEAK_CHECKED(test_out_of_memory_is_said),
		LEAK_CHECKED(test_store_that_is_open_is_left_alone),
		LEAK_CHECKED(test_what_is_no_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
