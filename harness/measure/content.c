/* SPDX-License-Identifier: MIT */
/*
 * content.c - see content.h.
 *
 * A cursor's walk over everything is digested; the sum does not depend on order. With one
 * thread that is compared with the digest of what must be there; a difference makes it
 * necessary to ask for every key, to say which. Where there is none the gets must still
 * tell what the cursor did: of up to 65,536 keys, evenly spread. With several threads each
 * key is asked for, and what was found must be what the cursor saw: a key that nobody
 * wrote shows there.
 */
#include "content.h"

#include "clock.h"
#include "oracle.h"
#include "worker.h"

enum { TELL_NS = 100000000, LOOK_EVERY = 1024, SAMPLE = 65536 };

struct check {
	/* constant */
	struct kv *kv;
	const struct run_config *c;
	struct oracle *oracle;
	run_progress_fn *progress;
	void *arg;
	struct kv_msg *why;

	uint64_t done, total, next_tell_ns; /* for the progress bar */
	bool stopped;                       /* by an interrupt */
	uint64_t walked_digest, walked_records;
	uint64_t found_digest, found_records; /* by gets */
	struct kv_buf expected, found;
	char key[RECORD_KEY_MAX];
};

/* After each step. True when the user has had enough. */
static bool step(struct check *k)
{
	uint64_t now;

	if (++k->done % LOOK_EVERY)
		return k->stopped;
	/* The first interrupt may have ended the run; its figures still need a check. */
	k->stopped |= crew_interrupts() > 1;
	now = clock_now_ns();
	if (k->progress && now >= k->next_tell_ns) {
		k->progress(k->arg, "check", (double)k->done, (double)k->total);
		k->next_tell_ns = now + TELL_NS;
	}
	return k->stopped;
}

static struct kv_slice key_of(struct check *k, uint64_t i)
{
	return kv_slice(k->key,
			record_key(&k->c->workload, oracle_keynum(k->oracle, i), k->key));
}

static struct kv_slice bytes_of(const struct kv_buf *b)
{
	return kv_slice(b->data, b->len);
}

static int store_failed(struct check *k, int error)
{
	return kv_fail(k->why, error, "%s: reading everything back failed: %s",
		       k->c->engine->name, strerror(-error));
}

/* ---- what must be there ---- */

static int expect_all(struct check *k, struct run_result *out)
{
	uint64_t i, n = oracle_keys(k->oracle);
	int error = 0;

	for (i = 0; !error && i < n && !step(k); i++) {
		bool present, absent;
		struct kv_slice key, value;

		error = oracle_expect(k->oracle, i, &present, &absent, &k->expected);
		if (error || !present)
			continue;
		key = key_of(k, i);
		value = bytes_of(&k->expected);
		out->live_bytes += key.len + value.len;
		if (k->c->threads == 1)
			out->content_expected += record_digest(key, value);
	}
	return error;
}

/* ---- what is there ---- */

static int walk(struct check *k)
{
	struct kv_cursor *c;
	int error = kv_cursor(k->kv, NULL, &c);

	if (error)
		return store_failed(k, error);
	while (!(error = kv_next(c)) && !step(k)) {
		k->walked_digest += record_digest(c->key, c->value);
		k->walked_records++;
	}
	kv_cursor_close(c);
	return error && error != -ENOENT ? store_failed(k, error) : 0;
}

static const char *origin(struct check *k, uint64_t i, char *text, size_t n)
{
	uint32_t thread;
	uint64_t index;

	if (oracle_trace(k->oracle, i, bytes_of(&k->found), &thread, &index))
		(void)snprintf(text, n, "%zu bytes that were never written there",
			       k->found.len);
	else if (index == UINT64_MAX)
		(void)snprintf(text, n, "what the load wrote");
	else
		(void)snprintf(text, n, "what operation %llu of thread %u wrote",
			       (unsigned long long)index, thread);
	return text;
}

static void describe(struct check *k, uint64_t i, bool found, bool present, bool absent,
		     char *note, size_t n)
{
	struct kv_slice key = key_of(k, i);
	char came[80];

	(void)snprintf(note, n, "first difference: key %.*s: expected %s, came %s",
		       (int)(key.len < 40 ? key.len : 40), (const char *)key.data,
		       present ? absent ? "a last write or nothing" : "the last write"
			       : "nothing",
		       found ? origin(k, i, came, sizeof(came)) : "nothing");
}

/* One key; *fits is false when the store holds something else than it may. */
static int ask(struct check *k, uint64_t i, bool *fits, char *note, size_t n)
{
	struct kv_slice key = key_of(k, i);
	bool present, absent, found;
	int error = kv_get(k->kv, key, &k->found);

	found = error != -ENOENT;
	if (error && found)
		return store_failed(k, error);
	error = oracle_expect(k->oracle, i, &present, &absent, &k->expected);
	*fits = absent;
	if (!error && found)
		error = oracle_accepts(k->oracle, i, bytes_of(&k->found), fits);
	if (error)
		return error;
	if (!*fits)
		describe(k, i, found, present, absent, note, n);
	else if (found) {
		k->found_digest += record_digest(key, bytes_of(&k->found));
		k->found_records++;
	}
	return 0;
}

/* Every stride-th key that may be there, up to the first that is wrong. */
static int ask_each(struct check *k, uint64_t stride, struct run_result *out)
{
	uint64_t i, n = oracle_keys(k->oracle);
	bool fits = true;
	int error = 0;

	for (i = 0; !error && fits && i < n && !step(k); i += stride)
		error = ask(k, i, &fits, out->content_note, sizeof(out->content_note));
	if (!error && !fits)
		out->content = CONTENT_DIFFERENT;
	return error;
}

/* ---- the verdict ---- */

static void note(struct run_result *out, enum content_verdict verdict, const char *text)
{
	out->content = verdict;
	(void)snprintf(out->content_note, sizeof(out->content_note), "%s", text);
}

static uint64_t sample_stride(const struct check *k)
{
	return oracle_keys(k->oracle) / SAMPLE + 1;
}

static int judge(struct check *k, struct run_result *out)
{
	bool walks = k->c->engine->ops->caps & KV_CAP_CURSOR, one = k->c->threads == 1;
	bool equal;
	int error = walks ? walk(k) : 0;

	out->content_digest = k->walked_digest;
	out->content_records = k->walked_records;
	if (error || k->stopped)
		return error;
	equal = one && walks && out->content_digest == out->content_expected;
	error = ask_each(k, equal ? sample_stride(k) : 1, out);
	if (error || k->stopped || out->content == CONTENT_DIFFERENT)
		return error;
	if (equal) {
		note(out, CONTENT_EQUAL, "");
		return 0;
	}
	if (!one)
		out->content_expected = k->found_digest;
	if (!walks) {
		out->content_digest = k->found_digest;
		out->content_records = k->found_records;
	} else if (k->found_digest != k->walked_digest) {
		out->content = CONTENT_DIFFERENT;
		(void)snprintf(out->content_note, sizeof(out->content_note),
			       "each key has a value that it may have, but a cursor sees "
			       "%llu records and gets find %llu",
			       (unsigned long long)k->walked_records,
			       (unsigned long long)k->found_records);
		return 0;
	}
	note(out, one ? CONTENT_EQUAL : CONTENT_PLAUSIBLE,
	     oracle_is_vague(k->oracle)
		     ? "threads changed single fields of the same records, so only keys and "
		       "the shape of records were checked"
	     : walks ? ""
		     : "the engine has no cursor: each key was asked for, keys that should "
		       "not be there would not be seen");
	return 0;
}

static const char *why_not(const struct run_config *c)
{
	if (c->engine->kind == ENGINE_NULL)
		return "the null engine keeps nothing";
	if (c->use_existing)
		return "what the store held before this run is not known";
	return c->check_content ? NULL : "not asked for";
}

/* For when even the table of writes is too much: as if the load were all. */
static int guess_live_bytes(struct check *k, struct run_result *out)
{
	const struct workload *w = &k->c->workload;
	int error = record_value(w, 0, 0, &k->expected);

	out->live_bytes = w->insert_count * (record_key(w, 0, k->key) + k->expected.len);
	return error;
}

int content_check(struct kv *kv, const struct run_config *c, const uint64_t *executed,
		  run_progress_fn *progress, void *arg, struct run_result *out,
		  struct kv_msg *why)
{
	struct check k = {
		.kv = kv, .c = c, .progress = progress, .arg = arg, .why = why
	};
	const char *reason = why_not(c);
	int error = oracle_open(c, executed, &k.oracle);

	note(out, CONTENT_UNCHECKED, reason ? reason : "interrupted");
	if (error == -EOVERFLOW || error == -ENOMEM) {
		note(out, CONTENT_UNCHECKED,
		     error == -ENOMEM ? "too little memory to replay the operations"
				      : "over 2^31 operations a thread");
		error = guess_live_bytes(&k, out);
		goto out;
	}
	if (error)
		goto out;
	k.total = oracle_keys(k.oracle) * 2 +
		  oracle_keys(k.oracle) / (c->threads > 1 ? 1 : sample_stride(&k));
	error = expect_all(&k, out);
	if (!error && !k.stopped && !reason)
		error = judge(&k, out);
out:
	if (error && why && !why->text[0])
		(void)kv_fail(why, error, "checking the content failed: %s",
			      strerror(-error));
	kv_buf_free(&k.expected);
	kv_buf_free(&k.found);
	oracle_close(k.oracle);
	return error;
}
