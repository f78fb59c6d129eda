/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_conformance_thread.c - checks with several threads on one store: what each may see
 * at any moment, and what must be there in the end.
 *
 * Counts, not clocks, bound every loop. A thread that finds something wrong notes it and
 * stops; the check complains after all have been joined.
 */
#include "kv_check.h"

#include <sched.h>

enum { THREADS_MAX = 8 };

enum start { START_WAIT, START_GO, START_NOT }; /* what the crew waits for */

struct crew;

struct worker {
	struct crew *crew;
	pthread_t id;
	unsigned int index;
	struct kv_buf buf[2];
	char complaint[512];
};

struct crew {
	struct kv *kv;
	struct check *c; /* its limits and caps only: threads must not fail it */
	struct kv_snapshot *snap;
	struct check_pairs *expected;
	unsigned int writers, writes, reads;
	unsigned int writing; /* atomic: writers that have not finished */
	unsigned int written; /* atomic: how far the only writer is */
	unsigned int read;    /* atomic: reads so far, of all readers; backups begun */
	unsigned int start;   /* atomic: enum start */
	struct worker worker[THREADS_MAX];
};

typedef void work_fn(struct worker *w);

struct task {
	struct worker *worker;
	work_fn *fn;
};

static void __attribute__((format(printf, 2, 3)))
complain(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	if (w->complaint[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->complaint, sizeof(w->complaint), fmt, ap);
	va_end(ap);
}

/* True when came is not want, and then the complaint is made. */
static bool wrong(struct worker *w, const char *what, int want, int came)
{
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (want == came)
		return false;
	complain(w, "thread %u: %s: expected %s, came %s", w->index, what,
		 check_error_name(want, a), check_error_name(came, b));
	return true;
}

static void *run_task(void *arg)
{
	struct task *t = arg;

	unsigned int start;

	while ((start = port_load_acquire(&t->worker->crew->start)) == START_WAIT)
		sched_yield();
	if (start == START_GO)
		t->fn(t->worker);
	return NULL;
}

/* Runs fn[0..n) at once, main (may be NULL) in this thread beside them; then complains. */
static void run_crew(struct check *c, struct crew *crew, work_fn *const *fn,
		     unsigned int n, work_fn *main)
{
	struct worker self = { .crew = crew, .index = n };
	struct task task[THREADS_MAX];
	const char *complaint = NULL;
	unsigned int i;
	int failed = 0;

	crew->kv = c->kv;
	crew->c = c;
	for (i = 0; i < n; i++) {
		crew->worker[i] = (struct worker){ .crew = crew, .index = i };
		task[i] = (struct task){ &crew->worker[i], fn[i] };
		failed = pthread_create(&crew->worker[i].id, NULL, run_task, &task[i]);
		if (failed)
			break;
	}
	port_store_release(&crew->start, failed ? START_NOT : START_GO);
	if (main && !failed)
		main(&self);
	while (i--)
		pthread_join(crew->worker[i].id, NULL);
	if (failed)
		check_skip(c, "this machine has no %u threads to spare: error %d", n,
			   failed);
	for (i = 0; i <= n; i++) {
		struct worker *w = i < n ? &crew->worker[i] : &self;

		kv_buf_free(&w->buf[0]);
		kv_buf_free(&w->buf[1]);
		if (!complaint && w->complaint[0])
			complaint = w->complaint;
	}
	if (complaint)
		(check_fail)(c, "%s", complaint);
}

/* Readers go on while writers write; the bound is for a writer that readers starve. */
static bool more_to_read(struct worker *w, unsigned int done)
{
	port_fetch_add(&w->crew->read, 1u);
	sched_yield();
	return done < w->crew->reads && !w->complaint[0] &&
	       (done < 10 || port_load_acquire(&w->crew->writing));
}

/* A writer that outruns its readers would show them nothing: it waits for one of them, but
 * not for ever, since they may have stopped. */
static void let_readers_read(struct worker *w)
{
	unsigned int before = port_load_acquire(&w->crew->read), i;

	for (i = 0; i < 1000 && port_load_acquire(&w->crew->read) == before; i++)
		sched_yield();
}

/* ---- disjoint writers, many readers ---- */

enum { KEYS_EACH = 40 };

/* A value says whose it is and which write made it. */
static size_t make_key(char *out, size_t size, unsigned int owner, unsigned int i)
{
	return (size_t)snprintf(out, size, "t%u-%03u", owner, i);
}

static size_t make_value(char *out, size_t size, unsigned int owner, unsigned int i,
			 unsigned int version)
{
	size_t len = (size_t)snprintf(out, size, "t%u-%03u=%u,", owner, i, version);
	size_t total = len + version % 50;

	memset(out + len, 'a' + (int)(version % 26), total - len);
	return total;
}

static void write_own_keys(struct worker *w)
{
	struct kv *kv = w->crew->kv;
	unsigned int version;
	char key[32], value[160];

	for (version = 1; version <= w->crew->writes; version++) {
		unsigned int i = version * 13 % KEYS_EACH;
		struct kv_slice k =
			kv_slice(key, make_key(key, sizeof(key), w->index, i));
		struct kv_slice v = kv_slice(
			value, make_value(value, sizeof(value), w->index, i, version));

		let_readers_read(w);
		if (version % 5 == 0) {
			if (wrong(w, "kv_delete", 0, kv_delete(kv, k, KV_NONE)) ||
			    wrong(w, "kv_get of its own delete", -ENOENT,
				  kv_get(kv, k, &w->buf[0])))
				break;
			continue;
		}
		if (wrong(w, "kv_put", 0, kv_put(kv, k, v, KV_NONE)) ||
		    wrong(w, "kv_get of its own put", 0, kv_get(kv, k, &w->buf[0])))
			break;
		if (w->buf[0].len != v.len || memcmp(w->buf[0].data, v.data, v.len)) {
			complain(
				w,
				"thread %u: expected its own put of %s, came another value",
				w->index, key);
			break;
		}
	}
	port_fetch_add(&w->crew->writing, -1u);
}

/* The version in a value that must be of key; 0 and a complaint when it is no such value. */
static unsigned int version_of(struct worker *w, struct kv_slice key,
			       struct kv_slice value)
{
	unsigned int owner = 0, i = 0, version = 0;
	char text[160], want[160], shown[CHECK_SHOW];
	size_t len = value.len < sizeof(text) - 1 ? value.len : sizeof(text) - 1;

	if (len)
		memcpy(text, value.data, len);
	text[len] = '\0';
	if (sscanf(text, "t%u-%u=%u,", &owner, &i, &version) == 3 && version < 1000000 &&
	    owner < THREADS_MAX && i < KEYS_EACH &&
	    make_value(want, sizeof(want), owner, i, version) == value.len &&
	    !memcmp(want, value.data, value.len) &&
	    make_key(text, sizeof(text), owner, i) == key.len &&
	    !memcmp(text, key.data, key.len))
		return version;
	complain(w, "reader %u: expected a value that was put for its key, came %s",
		 w->index, check_show(value, shown));
	return 0;
}

/* A key's version never goes back. */
static void read_random_keys(struct worker *w)
{
	unsigned int seen[THREADS_MAX][KEYS_EACH] = { { 0 } }, n,
		     seed = w->index * 77 + 1;
	char key[32];

	for (n = 0; more_to_read(w, n); n++) {
		unsigned int owner, i, version;
		struct kv_slice k;
		int error;

		seed = seed * 1103515245 + 12345;
		owner = (seed >> 16) % w->crew->writers;
		i = (seed >> 8) % KEYS_EACH;
		k = kv_slice(key, make_key(key, sizeof(key), owner, i));
		error = kv_get(w->crew->kv, k, &w->buf[0]);
		if (error == -ENOENT)
			continue;
		if (wrong(w, "kv_get", 0, error))
			return;
		version = version_of(w, k, kv_slice(w->buf[0].data, w->buf[0].len));
		if (version && version < seen[owner][i])
			complain(w,
				 "reader %u: expected version %u of %s or later, came %u",
				 w->index, seen[owner][i], key, version);
		seen[owner][i] = version;
	}
}

/* Every scan is in order, and made of values that were put. */
static void scan_all_keys(struct worker *w)
{
	bool ordered = check_has(w->crew->c, KV_CAP_ORDERED);
	struct kv_cursor *cursor;
	unsigned int n;
	int error;

	for (n = 0; more_to_read(w, n * 8); n++) {
		w->buf[0].len = 0;
		if (wrong(w, "kv_cursor", 0, kv_cursor(w->crew->kv, NULL, &cursor)))
			return;
		while (!(error = kv_next(cursor)) &&
		       version_of(w, cursor->key, cursor->value)) {
			if (ordered && kv_compare(kv_slice(w->buf[0].data, w->buf[0].len),
						  cursor->key) >= 0)
				complain(
					w,
					"reader %u: expected ascending keys, came another",
					w->index);
			if (kv_buf_set(&w->buf[0], cursor->key.data, cursor->key.len))
				complain(w, "reader %u: no memory", w->index);
		}
		kv_cursor_close(cursor);
		if (!w->complaint[0] && wrong(w, "kv_next", -ENOENT, error))
			return;
		sched_yield();
	}
}

/* What the writers must have left behind. */
static void model_of_writers(struct check *c, unsigned int writers, unsigned int writes)
{
	unsigned int owner, version;
	char key[32], value[160];

	for (owner = 0; owner < writers; owner++)
		for (version = 1; version <= writes; version++) {
			unsigned int i = version * 13 % KEYS_EACH;
			struct kv_slice k =
				kv_slice(key, make_key(key, sizeof(key), owner, i));
			size_t len = make_value(value, sizeof(value), owner, i, version);

			if (version % 5 == 0)
				check_pairs_delete(&c->model, k);
			else
				check_pairs_put(c, &c->model, k, kv_slice(value, len));
		}
}

static void threads_on_disjoint_keys(struct check *c)
{
	static work_fn *const scanning[] = { write_own_keys,   write_own_keys,
					     write_own_keys,   read_random_keys,
					     read_random_keys, scan_all_keys };
	static work_fn *const reading[] = { write_own_keys, write_own_keys,
					    write_own_keys, read_random_keys,
					    read_random_keys };
	/* Without snapshots a cursor may hold writers up, or see them. */
	bool scan = check_has(c, KV_CAP_CURSOR | KV_CAP_SNAPSHOT);
	struct crew *crew = check_alloc(c, sizeof(*crew));

	*crew = (struct crew){
		.writers = 3, .writing = 3, .writes = 300, .reads = 20000
	};
	check_open(c);
	run_crew(HERE(c), crew, scan ? scanning : reading, scan ? 6 : 5, NULL);
	model_of_writers(c, crew->writers, crew->writes);
	check_same(c);
	if (check_has(c, KV_CAP_PERSISTENT)) {
		check_reopen(c);
		check_same(c);
	}
}

/* ---- batches are seen whole ---- */

static const struct kv_slice pair_key[2] = { { "left", 4 }, { "right", 5 } };

/* Writes both keys with one value; sometimes neither is there. */
static void write_pairs(struct worker *w)
{
	unsigned int i;
	char text[64];

	for (i = 1; i <= w->crew->writes; i++) {
		struct kv_slice v =
			kv_slice(text, (size_t)snprintf(text, sizeof(text), "%u", i));
		struct kv_op op[3] = { { KV_PUT, pair_key[0], v },
				       { KV_PUT, { "middle", 6 }, v },
				       { KV_PUT, pair_key[1], v } };

		let_readers_read(w);
		if (i % 4 == 0)
			op[0].type = op[2].type = KV_DELETE;
		if (wrong(w, "kv_write", 0, kv_write(w->crew->kv, op, 3, KV_NONE)))
			break;
	}
	port_fetch_add(&w->crew->writing, -1u);
}

static void compare_pair(struct worker *w, const char *how, const int error[2])
{
	bool same = error[0] == error[1] && w->buf[0].len == w->buf[1].len &&
		    (!w->buf[0].len ||
		     !memcmp(w->buf[0].data, w->buf[1].data, w->buf[0].len));
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (error[0] != -ENOENT && wrong(w, how, 0, error[0]))
		return;
	if (!same)
		complain(
			w, "%s: expected both keys of a batch alike, came %s and %s", how,
			error[0] ? "-ENOENT"
				 : check_show(kv_slice(w->buf[0].data, w->buf[0].len), a),
			error[1]
				? "-ENOENT"
				: check_show(kv_slice(w->buf[1].data, w->buf[1].len), b));
}

static void read_pairs_at_once(struct worker *w)
{
	unsigned int n;
	int error[2];

	for (n = 0; more_to_read(w, n); n++) {
		if (wrong(w, "kv_multi_get", 0,
			  kv_multi_get(w->crew->kv, NULL, 2, pair_key, w->buf, error)))
			return;
		compare_pair(w, "kv_multi_get", error);
	}
}

static void read_pairs_at_snapshots(struct worker *w)
{
	struct kv *kv = w->crew->kv;
	struct kv_snapshot *snap;
	unsigned int n;
	int error[2];

	for (n = 0; more_to_read(w, n); n++) {
		if (wrong(w, "kv_snapshot", 0, kv_snapshot(kv, &snap)))
			return;
		error[1] = kv_get_at(kv, snap, pair_key[1], &w->buf[1]);
		sched_yield();
		error[0] = kv_get_at(kv, snap, pair_key[0], &w->buf[0]);
		kv_release(kv, snap);
		compare_pair(w, "kv_get_at a snapshot", error);
	}
}

static void read_pairs_by_cursor(struct worker *w)
{
	struct kv_cursor *cursor;
	unsigned int n, i;

	for (n = 0; more_to_read(w, n); n++) {
		int error[2] = { -ENOENT, -ENOENT };

		w->buf[0].len = w->buf[1].len = 0;
		if (wrong(w, "kv_cursor", 0, kv_cursor(w->crew->kv, NULL, &cursor)))
			return;
		while (!kv_next(cursor))
			for (i = 0; i < 2; i++)
				if (!kv_compare(cursor->key, pair_key[i]))
					error[i] =
						kv_buf_set(&w->buf[i], cursor->value.data,
							   cursor->value.len);
		kv_cursor_close(cursor);
		compare_pair(w, "a cursor", error);
	}
}

static void batches_are_seen_whole(struct check *c)
{
	static work_fn *const fn[] = { write_pairs, read_pairs_at_once,
				       read_pairs_at_snapshots, read_pairs_by_cursor };
	struct crew *crew = check_alloc(c, sizeof(*crew));
	bool cursors = check_has(c, KV_CAP_CURSOR);

	*crew = (struct crew){
		.writers = 1, .writing = 1, .writes = 300, .reads = 20000
	};
	check_open(c);
	run_crew(HERE(c), crew, fn, cursors ? 4 : 3, NULL);
}

/* ---- one snapshot, several threads ---- */

static void read_shared_snapshot(struct worker *w)
{
	const struct check_pairs *p = w->crew->expected;
	unsigned int n;

	for (n = 0; more_to_read(w, n); n++) {
		const struct check_pair *pair = &p->pair[(n * 7 + w->index * 5) % p->n];

		if (wrong(w, "kv_get_at", 0,
			  kv_get_at(w->crew->kv, w->crew->snap, pair->key, &w->buf[0])))
			return;
		if (kv_compare(kv_slice(w->buf[0].data, w->buf[0].len), pair->value))
			complain(w,
				 "reader %u: expected the snapshot's value, came another",
				 w->index);
	}
}

static void overwrite_all(struct worker *w)
{
	const struct check_pairs *p = w->crew->expected;
	unsigned int i;

	for (i = 0; i < w->crew->writes; i++) {
		struct kv_slice key = p->pair[i * 11 % p->n].key;
		int error;

		let_readers_read(w);
		error = i % 3 ? kv_put(w->crew->kv, key, kv_slice("new", 3), KV_NONE)
			      : kv_delete(w->crew->kv, key, KV_NONE);

		if (wrong(w, "write", 0, error))
			break;
	}
	port_fetch_add(&w->crew->writing, -1u);
}

static void snapshot_may_be_shared(struct check *c)
{
	static work_fn *const fn[] = { overwrite_all, read_shared_snapshot,
				       read_shared_snapshot, read_shared_snapshot };
	struct crew *crew = check_alloc(c, sizeof(*crew));
	struct check_pairs old;

	*crew = (struct crew){
		.writers = 1, .writing = 1, .writes = 500, .reads = 20000
	};
	check_open(c);
	check_load(c, 100, 20);
	old = check_pairs_copy(c, &c->model);
	crew->expected = &old;
	crew->snap = check_snapshot(c);
	run_crew(HERE(c), crew, fn, 4, NULL);
	check_content(c, c->kv, crew->snap, &old);
}

/* ---- backup while a writer goes on ---- */

enum {
	WRITES_BEFORE_BACKUP = 120,
	WRITES_WITHOUT_BACKUP = 200, /* the writer waits for a backup that comes late */
	WRITES_AT_LEAST = 240,
};

/* Step i: put "a" to i, append key i, put "z" to i. So at any moment n keys have been
 * appended, "a" is n - 1 or n, and "z" n - 2 or n - 1: a copy that is of no one moment
 * shows, in whichever order it was made. */
static void append_in_order(struct worker *w)
{
	unsigned int i;
	char key[32], number[32];

	/* Until the backup is done, which sets writing to 0, or long enough. A failed put
	 * ends it too. */
	for (i = 0; i < w->crew->writes; i++) {
		struct kv_slice k = kv_slice(
			key, (size_t)snprintf(key, sizeof(key), "append%06u", i));
		struct kv_slice v = kv_slice(
			number, (size_t)snprintf(number, sizeof(number), "%u", i));

		while (i == WRITES_WITHOUT_BACKUP && !port_load_acquire(&w->crew->read))
			sched_yield();
		if (i > WRITES_AT_LEAST && !port_load_acquire(&w->crew->writing))
			break;
		if (wrong(w, "kv_put", 0,
			  kv_put(w->crew->kv, kv_slice("a", 1), v, KV_NONE)) ||
		    wrong(w, "kv_put", 0, kv_put(w->crew->kv, k, k, KV_NONE)) ||
		    wrong(w, "kv_put", 0,
			  kv_put(w->crew->kv, kv_slice("z", 1), v, KV_NONE))) {
			port_store_release(&w->crew->writing, 0);
			break;
		}
		port_store_release(&w->crew->written, i + 1);
		if (i % 16 == 0)
			sched_yield();
	}
}

struct backup_run {
	struct crew crew;
	const char *dir;
	unsigned int before, after;
};

static void take_backup(struct worker *w)
{
	struct backup_run *run = container_of(w->crew, struct backup_run, crew);

	while (port_load_acquire(&w->crew->written) < WRITES_BEFORE_BACKUP &&
	       port_load_acquire(&w->crew->writing))
		sched_yield();
	run->before = port_load_acquire(&w->crew->written);
	port_fetch_add(&w->crew->read, 1u);
	wrong(w, "kv_backup", 0, kv_backup(w->crew->kv, run->dir));
	/* The write under way may be in it, though it is not yet counted. */
	run->after = port_load_acquire(&w->crew->written) + 1;
	port_store_release(&w->crew->writing, 0);
}

/* The number that key has in copy, which must be low or one more. */
static void check_counter(struct check *c, struct kv *copy, const char *key,
			  unsigned int low, struct check_pairs *found)
{
	char text[32] = "";
	unsigned int came;

	check_int(c, 0, kv_get(copy, kv_str(key), &c->buf));
	if (c->buf.len && c->buf.len < sizeof(text))
		memcpy(text, c->buf.data, c->buf.len);
	came = (unsigned int)strtoul(text, NULL, 10);
	if (came != low && came != low + 1)
		check_fail(
			c,
			"backup: expected \"%s\" as %u or %u, of the same moment as the rest, "
			"came %u",
			key, low, low + 1, came);
	check_pairs_put(c, found, kv_str(key), kv_str(text));
}

static void backup_while_writing(struct check *c)
{
	static work_fn *const fn[] = { append_in_order };
	struct backup_run *run = check_alloc(c, sizeof(*run));
	struct check_pairs found = { NULL, 0, 0 };
	struct kv *copy;
	unsigned int n;

	*run = (struct backup_run){ .dir = check_dir(c) };
	run->crew = (struct crew){ .writers = 1, .writing = 1, .writes = 20000 };
	check_open(c);
	run_crew(HERE(c), &run->crew, fn, 1, take_backup);
	copy = check_open_dir(c, run->dir);
	/* The first n keys, for some n between begin and end. */
	for (n = 0; n < run->after; n++) {
		struct kv_slice k = check_printf(c, "append%06u", n);

		if (kv_get(copy, k, &c->buf))
			break;
		check_pairs_put(c, &found, k, k);
	}
	if (n < run->before)
		check_fail(c, "backup: expected the first %u to %u writes, came %u",
			   run->before, run->after, n);
	check_counter(c, copy, "a", n - 1, &found);
	check_counter(c, copy, "z", n - 2, &found);
	check_content(c, copy, NULL, &found); /* and nothing else: no gaps */
}

const struct check_entry check_thread_entries[] = {
	{ "threads_on_disjoint_keys", 0, 0, threads_on_disjoint_keys },
	{ "batches_are_seen_whole", KV_CAP_BATCH | KV_CAP_SNAPSHOT, 0,
	  batches_are_seen_whole },
	{ "snapshot_may_be_shared", KV_CAP_SNAPSHOT, 0, snapshot_may_be_shared },
	{ "backup_while_writing", KV_CAP_BACKUP, 0, backup_while_writing },
	{ 0 },
};
