/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_check.c - the vocabulary of the conformance checks; see kv_check.h.
 *
 * The functions here are called through macros of the same name that note the check's
 * line; parentheses around a name mean the function itself.
 */
#include "kv_check.h"

#include <sys/stat.h>

/* ---- complaints ---- */

const char *check_error_name(int error, char buf[CHECK_SHOW])
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ 0, "0" },
		{ -ENOENT, "-ENOENT" },
		{ -EINVAL, "-EINVAL" },
		{ -EBADMSG, "-EBADMSG" },
		{ -EROFS, "-EROFS" },
		{ -EBUSY, "-EBUSY" },
		{ -EOPNOTSUPP, "-EOPNOTSUPP" },
		{ -EIO, "-EIO" },
		{ -ENOSPC, "-ENOSPC" },
		{ -ENOMEM, "-ENOMEM" },
		{ -EEXIST, "-EEXIST" },
		{ -ENOTDIR, "-ENOTDIR" },
		{ -EACCES, "-EACCES" },
	};
	size_t i;

	snprintf(buf, CHECK_SHOW, "%d", error);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			snprintf(buf, CHECK_SHOW, "%s", names[i].name);
	return buf;
}

const char *check_show(struct kv_slice s, char buf[CHECK_SHOW])
{
	size_t shown = s.len < 32 ? s.len : 32, used = 0, i;

	buf[used++] = '"';
	for (i = 0; i < shown; i++) {
		unsigned char byte = ((const unsigned char *)s.data)[i];
		bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';

		used += (size_t)snprintf(buf + used, CHECK_SHOW - used,
					 plain ? "%c" : "\\x%02x", byte);
	}
	buf[used++] = '"';
	buf[used] = '\0';
	if (shown < s.len)
		snprintf(buf + used, CHECK_SHOW - used, "... (%zu bytes)", s.len);
	return buf;
}

static void complain(struct check *c, const char *fmt, va_list ap)
{
	const char *file = strrchr(c->file, '/');
	int n = snprintf(c->complaint, sizeof(c->complaint),
			 "%s:%d: ", file ? file + 1 : c->file, c->line);

	vsnprintf(c->complaint + n, sizeof(c->complaint) - (size_t)n, fmt, ap);
}

void(check_fail)(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, fmt, ap);
	va_end(ap);
	longjmp(c->end, CHECK_FAILED);
}

void check_skip(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->complaint, sizeof(c->complaint), fmt, ap);
	va_end(ap);
	longjmp(c->end, CHECK_SKIPPED);
}

void(check_int)(struct check *c, const char *what, int want, int came)
{
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (want != came)
		(check_fail)(c, "%s: expected %s, came %s", what,
			     check_error_name(want, a), check_error_name(came, b));
}

/* ---- limits ---- */

size_t check_key_max(const struct check *c)
{
	return c->ops->key_max ? c->ops->key_max : KV_KEY_MAX;
}

size_t check_value_max(const struct check *c)
{
	return c->ops->value_max ? c->ops->value_max : KV_VALUE_MAX;
}

bool check_key_fits(const struct check *c, struct kv_slice key)
{
	return key.len >= c->ops->key_min && key.len <= check_key_max(c);
}

bool check_value_fits(const struct check *c, struct kv_slice value)
{
	return value.len <= check_value_max(c);
}

bool check_has(const struct check *c, unsigned int caps)
{
	return (c->ops->caps & caps) == caps;
}

bool check_on_disk(const struct check *c)
{
	struct stat st;

	return check_has(c, KV_CAP_PERSISTENT) && !stat(c->t->scratch, &st);
}

/* ---- stores ---- */

const char *check_dir(struct check *c)
{
	static unsigned int made; /* a name is never used twice, whatever a check left */
	char *dir;

	if (c->n_dirs == CHECK_DIRS)
		(check_fail)(c, "expected at most %d stores in a check, came more",
			     CHECK_DIRS);
	dir = check_alloc(c, CHECK_PATH);
	snprintf(dir, CHECK_PATH, "%s/check-%u", c->t->scratch,
		 port_fetch_add(&made, 1u));
	c->dirs[c->n_dirs++] = dir;
	return dir;
}

struct kv *(check_open_dir)(struct check *c, const char *dir)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char name[CHECK_SHOW];
	int error = kv_open(c->ops, c->t->env, dir, c->t->options, &kv, &why);
	size_t i;

	if (error)
		(check_fail)(c, "kv_open: expected 0, came %s: %s",
			     check_error_name(error, name), why.text);
	if (!kv)
		(check_fail)(c, "kv_open: expected a handle with 0, came NULL");
	for (i = 0; i < CHECK_DIRS && c->open[i];)
		i++;
	if (i == CHECK_DIRS) {
		kv_close(kv);
		(check_fail)(c, "expected at most %d open stores, came more", CHECK_DIRS);
	}
	c->open[i] = kv;
	return kv;
}

void(check_close_kv)(struct check *c, struct kv *kv)
{
	size_t i;

	for (i = 0; i < CHECK_DIRS; i++)
		if (c->open[i] == kv)
			c->open[i] = NULL;
	(check_int)(c, "kv_close", 0, kv_close(kv));
}

void(check_open)(struct check *c)
{
	const char *dir = check_dir(c);

	c->kv = (check_open_dir)(c, dir);
	c->dir = dir;
}

static void give_back(struct check *c)
{
	size_t i;

	for (i = 0; i < CHECK_CURSORS; i++) {
		kv_cursor_close(c->cursor[i]);
		c->cursor[i] = NULL;
	}
	for (i = 0; i < CHECK_SNAPSHOTS; i++) {
		if (c->kv)
			kv_release(c->kv, c->snapshot[i]);
		c->snapshot[i] = NULL;
	}
}

void(check_close)(struct check *c)
{
	struct kv *kv = c->kv;

	give_back(c);
	c->kv = NULL;
	(check_close_kv)(c, kv);
}

void(check_reopen)(struct check *c)
{
	(check_close)(c);
	c->kv = (check_open_dir)(c, c->dir);
}

/* ---- writing ---- */

void(check_write)(struct check *c, const struct kv_op *op, size_t n)
{
	size_t i;

	(check_int)(c, "kv_write", 0, kv_write(c->kv, op, n, KV_NONE));
	for (i = 0; i < n; i++)
		check_pairs_apply(c, &c->model, &op[i]);
}

void(check_put)(struct check *c, struct kv_slice key, struct kv_slice value)
{
	struct kv_op op = { KV_PUT, key, value };

	(check_int)(c, "kv_put", 0, kv_put(c->kv, key, value, KV_NONE));
	check_pairs_apply(c, &c->model, &op);
}

void(check_delete)(struct check *c, struct kv_slice key)
{
	struct kv_op op = { KV_DELETE, key, { NULL, 0 } };

	(check_int)(c, "kv_delete", 0, kv_delete(c->kv, key, KV_NONE));
	check_pairs_apply(c, &c->model, &op);
}

struct kv_slice check_key(struct check *c, unsigned int i)
{
	return check_printf(c, "key%06u", i);
}

void(check_load)(struct check *c, unsigned int n, size_t value_len)
{
	enum { STEPS = 32 };
	unsigned int stride = n > 7 && n % 7 ? 7 : 1, i, filled = 0;
	struct kv_op op[STEPS];

	if (value_len > check_value_max(c))
		value_len = check_value_max(c);
	for (i = 0; i < n; i++) {
		unsigned int k = (unsigned int)((uint64_t)i * stride % n);

		op[filled++] = (struct kv_op){ KV_PUT, check_key(c, k),
					       check_noise(c, k, value_len) };
		if (filled == STEPS || i + 1 == n || !check_has(c, KV_CAP_BATCH)) {
			(check_write)(c, op, filled);
			filled = 0;
		}
	}
}

void(check_load_adversarial)(struct check *c)
{
	const struct kv_slice keys[] = {
		BYTES(""),
		BYTES("\0"),
		BYTES("\0\0"),
		BYTES("\0\xff"),
		BYTES("\x01"),
		BYTES("a"),
		BYTES("a\0"),
		BYTES("a\0\0"),
		BYTES("a\0b"),
		BYTES("a\x01"),
		BYTES("a\xff"),
		BYTES("aa"),
		BYTES("aaa"),
		BYTES("ab"),
		BYTES("b"),
		BYTES("ba"),
		BYTES("\x7f"),
		BYTES("\x80"),
		BYTES("\x80\0"),
		BYTES("\xfe\xff"),
		BYTES("\xff"),
		BYTES("\xff\0"),
		BYTES("\xff\xff"),
		BYTES("\xff\xff\xff"),
		BYTES("prefix-of-twenty-five-byt"),
		BYTES("prefix-of-twenty-five-byte"),
		BYTES("prefix-of-twenty-five-bytf"),
	};
	const size_t n = sizeof(keys) / sizeof(keys[0]);
	size_t i;

	for (i = 0; i < n; i++) {
		struct kv_slice key = keys[i * 11 % n];

		if (check_key_fits(c, key))
			(check_put)(c, key, check_printf(c, "value of %zu", i));
	}
}

/* ---- reading ---- */

static void expect_got(struct check *c, const char *what, struct kv_slice key, int error,
		       const struct kv_slice *want)
{
	char k[CHECK_SHOW], a[CHECK_SHOW], b[CHECK_SHOW];
	struct kv_slice got = kv_slice(c->buf.data, c->buf.len);

	check_show(key, k);
	if (error != (want ? 0 : -ENOENT))
		(check_fail)(c, "%s %s: expected %s, came %s", what, k,
			     want ? "0" : "-ENOENT", check_error_name(error, b));
	if (!want && got.len)
		(check_fail)(c,
			     "%s %s: expected a value of 0 bytes with -ENOENT, came %zu",
			     what, k, got.len);
	if (want && kv_compare(*want, got))
		(check_fail)(c, "%s %s: expected %s, came %s", what, k,
			     check_show(*want, a), check_show(got, b));
}

void(check_get)(struct check *c, struct kv_snapshot *snap, struct kv_slice key,
		const struct kv_slice *want)
{
	expect_got(c, snap ? "kv_get_at" : "kv_get", key,
		   kv_get_at(c->kv, snap, key, &c->buf), want);
}

void(check_at)(struct check *c, struct kv_cursor *cursor, int came,
	       const struct check_pairs *p, size_t i, const char *what)
{
	char a[CHECK_SHOW], b[CHECK_SHOW];

	if (i >= p->n) {
		(check_int)(c, what, -ENOENT, came);
		return;
	}
	if (came)
		(check_fail)(c, "%s: expected 0 at %s, came %s", what,
			     check_show(p->pair[i].key, a), check_error_name(came, b));
	if (kv_compare(cursor->key, p->pair[i].key))
		(check_fail)(c, "%s: expected key %s, came %s", what,
			     check_show(p->pair[i].key, a), check_show(cursor->key, b));
	if (kv_compare(cursor->value, p->pair[i].value))
		(check_fail)(c, "%s: expected value %s, came %s", what,
			     check_show(p->pair[i].value, a),
			     check_show(cursor->value, b));
}

static void walk_ordered(struct check *c, struct kv_cursor *cursor,
			 const struct check_pairs *p)
{
	size_t i;

	for (i = 0; i <= p->n; i++)
		(check_at)(c, cursor, kv_next(cursor), p, i, "kv_next");
	for (i = p->n; i > 0; i--)
		(check_at)(c, cursor, kv_prev(cursor), p, i - 1, "kv_prev");
	(check_at)(c, cursor, kv_prev(cursor), p, p->n, "kv_prev before the first");
}

static void walk_unordered(struct check *c, struct kv_cursor *cursor,
			   const struct check_pairs *p)
{
	bool *seen = check_alloc(c, p->n + 1);
	char k[CHECK_SHOW];
	size_t n = 0;
	int error;

	memset(seen, 0, p->n + 1);
	while (!(error = kv_next(cursor))) {
		size_t i = check_pairs_find(p, cursor->key);

		if (!check_pairs_has(p, i, cursor->key))
			(check_fail)(c, "kv_next: expected a key that was put, came %s",
				     check_show(cursor->key, k));
		if (seen[i])
			(check_fail)(c, "kv_next: expected each pair once, came %s again",
				     check_show(cursor->key, k));
		(check_at)(c, cursor, 0, p, i, "kv_next");
		seen[i] = true;
		n++;
	}
	(check_int)(c, "kv_next after the last", -ENOENT, error);
	if (n != p->n)
		(check_fail)(c, "cursor: expected %zu pairs, came %zu", p->n, n);
}

void(check_walk)(struct check *c, struct kv_cursor *cursor, const struct check_pairs *p)
{
	if (check_has(c, KV_CAP_ORDERED))
		walk_ordered(c, cursor, p);
	else
		walk_unordered(c, cursor, p);
}

void(check_content)(struct check *c, struct kv *kv, struct kv_snapshot *snap,
		    const struct check_pairs *want)
{
	struct kv_cursor *cursor = NULL;
	size_t i;

	for (i = 0; i < want->n; i++)
		expect_got(c, snap ? "kv_get_at" : "kv_get", want->pair[i].key,
			   kv_get_at(kv, snap, want->pair[i].key, &c->buf),
			   &want->pair[i].value);
	if (!check_has(c, KV_CAP_CURSOR))
		return;
	(check_int)(c, "kv_cursor", 0, kv_cursor(kv, snap, &cursor));
	/* The first slot is kept free for this, so that a failure closes it too. */
	c->cursor[0] = cursor;
	(check_walk)(c, cursor, want);
	check_cursor_close(c, cursor);
}

void(check_same)(struct check *c)
{
	(check_content)(c, c->kv, NULL, &c->model);
}

/* ---- snapshots and cursors ---- */

struct kv_snapshot *(check_snapshot)(struct check *c)
{
	struct kv_snapshot *snap = NULL;
	size_t i = 0;

	while (i < CHECK_SNAPSHOTS && c->snapshot[i])
		i++;
	if (i == CHECK_SNAPSHOTS)
		(check_fail)(c, "expected at most %d snapshots, came more",
			     CHECK_SNAPSHOTS);
	(check_int)(c, "kv_snapshot", 0, kv_snapshot(c->kv, &snap));
	if (!snap)
		(check_fail)(c, "kv_snapshot: expected a snapshot with 0, came NULL");
	c->snapshot[i] = snap;
	return snap;
}

void check_release(struct check *c, struct kv_snapshot *snap)
{
	size_t i;

	for (i = 0; i < CHECK_SNAPSHOTS; i++)
		if (c->snapshot[i] == snap)
			c->snapshot[i] = NULL;
	kv_release(c->kv, snap);
}

struct kv_cursor *(check_cursor)(struct check *c, struct kv_snapshot *snap)
{
	struct kv_cursor *cursor = NULL;
	size_t i = 1;

	while (i < CHECK_CURSORS && c->cursor[i])
		i++;
	if (i == CHECK_CURSORS)
		(check_fail)(c, "expected at most %d cursors, came more", CHECK_CURSORS);
	(check_int)(c, "kv_cursor", 0, kv_cursor(c->kv, snap, &cursor));
	if (!cursor)
		(check_fail)(c, "kv_cursor: expected a cursor with 0, came NULL");
	c->cursor[i] = cursor;
	return cursor;
}

void check_cursor_close(struct check *c, struct kv_cursor *cursor)
{
	size_t i;

	for (i = 0; i < CHECK_CURSORS; i++)
		if (c->cursor[i] == cursor)
			c->cursor[i] = NULL;
	kv_cursor_close(cursor);
}

/* ---- the life of a check ---- */

void check_begin(struct check *c, const struct kv_target *t)
{
	memset(c, 0, sizeof(*c));
	c->t = t;
	c->ops = t->ops;
	(void)HERE(c);
}

void check_end(struct check *c)
{
	size_t i;

	give_back(c);
	for (i = 0; i < CHECK_DIRS; i++)
		kv_close(c->open[i]);
	kv_buf_free(&c->buf);
	for (i = 0; i < c->n_dirs; i++)
		if (c->t->remove_store)
			c->t->remove_store(c->dirs[i]);
	check_free(c);
}
