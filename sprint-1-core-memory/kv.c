/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv.c - what every engine would otherwise write again: options by name, argument
 * checks, the plain answer to calls that an engine leaves out, slices and buffers.
 */
#include "kv.h"
#include "name_distance.h"

/* ---- errors ---- */

int kv_fail(struct kv_msg *msg, int error, const char *fmt, ...)
{
	va_list ap;

	if (msg) {
		va_start(ap, fmt);
		port_vsnprintf(msg->text, sizeof(msg->text), fmt, ap);
		va_end(ap);
	}
	return error;
}

/* ---- slices and buffers ---- */

struct kv_slice kv_str(const char *s)
{
	return kv_slice(s, strlen(s));
}

int kv_compare(struct kv_slice a, struct kv_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

int kv_buf_reserve(struct kv_buf *b, size_t cap)
{
	size_t grown = b->cap + b->cap / 2;
	void *p;

	if (cap <= b->cap)
		return 0;
	/* Half as much again, so that appending n bytes one by one copies O(n). */
	if (grown < cap || grown < b->cap)
		grown = cap;
	p = port_realloc(b->data, b->cap, grown);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = grown;
	return 0;
}

int kv_buf_set(struct kv_buf *b, const void *p, size_t len)
{
	int error = kv_buf_reserve(b, len);

	if (error)
		return error;
	if (len)
		memcpy(b->data, p, len);
	b->len = len;
	return 0;
}

int kv_buf_append(struct kv_buf *b, const void *p, size_t len)
{
	int error;

	if (len > SIZE_MAX - b->len)
		return -ENOMEM;
	error = kv_buf_reserve(b, b->len + len);
	if (error)
		return error;
	if (len)
		memcpy((char *)b->data + b->len, p, len);
	b->len += len;
	return 0;
}

void kv_buf_free(struct kv_buf *b)
{
	port_free(b->data);
	*b = (struct kv_buf){ 0 };
}

/* ---- blocks ---- */

int kv_block_add(struct kv_block *b, struct kv_slice key, struct kv_slice value)
{
	struct kv_pair pair = { .key_len = (uint32_t)key.len, .value_len = value.len };
	size_t bytes = kv_pair_bytes(key.len, value.len);
	uint8_t *to = b->data + b->len;

	if (bytes > b->cap - b->len)
		return -EMSGSIZE;
	/* The last word first: what is not written over are the zeros. */
	memset(to + bytes - 8, 0, 8);
	memcpy(to, &pair, sizeof(pair));
	to += sizeof(pair);
	if (key.len)
		memcpy(to, key.data, key.len);
	if (value.len)
		memcpy(to + key.len, value.data, value.len);
	b->len += bytes;
	b->count++;
	return 0;
}

int kv_next_many(struct kv_cursor *c, struct kv_block *b)
{
	int error = 0;

	if (c->ops->next_many)
		return c->ops->next_many(c, b);
	while (!error && b->count < b->limit) {
		error = kv_next(c);
		if (!error)
			error = kv_block_add(b, c->key, c->value);
	}
	return error;
}

/* ---- options ---- */

enum { OPTS_MAX = 64 };

static const struct kv_opt *option_find(const struct kv_opt *opts, const char *name,
					size_t len)
{
	for (; opts->name; opts++)
		if (strlen(opts->name) == len && !memcmp(opts->name, name, len))
			return opts;
	return NULL;
}

static const char *option_nearest(const struct kv_opt *opts, const char *name, size_t len)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (; opts->name; opts++) {
		size_t d = name_distance(name, len, opts->name);

		if (d < best) {
			best = d;
			nearest = opts->name;
		}
	}
	return nearest;
}

/* Decimal digits and at most one of k, m, g; -EINVAL also where 64 bits do not hold it. */
static int parse_size(const char *s, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	size_t i;

	if (len && (s[len - 1] | 32) == 'k')
		shift = 10;
	else if (len && (s[len - 1] | 32) == 'm')
		shift = 20;
	else if (len && (s[len - 1] | 32) == 'g')
		shift = 30;
	if (shift)
		len--;
	if (!len)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		unsigned int digit = (unsigned int)s[i] - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		v = v * 10 + digit;
	}
	if (v > UINT64_MAX >> shift)
		return -EINVAL;
	*out = v << shift;
	return 0;
}

/* choices is "a|b|c"; the answer is the position of s in it. */
static int parse_choice(const char *choices, const char *s, size_t len, uint64_t *out)
{
	uint64_t position = 0;

	for (;;) {
		size_t n = strcspn(choices, "|");

		if (n == len && !memcmp(choices, s, n)) {
			*out = position;
			return 0;
		}
		if (!choices[n])
			return -EINVAL;
		choices += n + 1;
		position++;
	}
}

static int parse_value(const struct kv_opt *o, const char *s, size_t len, uint64_t *out,
		       struct kv_msg *why)
{
	if (o->choices) {
		if (parse_choice(o->choices, s, len, out))
			return kv_fail(why, -EINVAL,
				       "option %s is one of %s, not \"%.*s\"", o->name,
				       o->choices, (int)len, s);
		return 0;
	}
	if (parse_size(s, len, out) || *out < o->min || *out > o->max)
		return kv_fail(why, -EINVAL,
			       "option %s is a number from %llu to %llu, not \"%.*s\"",
			       o->name, (unsigned long long)o->min,
			       (unsigned long long)o->max, (int)len, s);
	return 0;
}

static int parse_options(const struct kv_ops *ops, const char *text, uint64_t *value,
			 struct kv_msg *why)
{
	static const struct kv_opt none = { 0 };
	const struct kv_opt *opts = ops->opts ? ops->opts : &none, *o;
	size_t n = 0;

	for (o = opts; o->name; o++) {
		if (n == OPTS_MAX)
			return kv_fail(why, -EINVAL, "engine %s has over %d options",
				       ops->name, OPTS_MAX);
		value[n++] = o->init;
	}
	while (text && *text) {
		size_t len = strcspn(text, ","), name_len = strcspn(text, "=,");
		int error;

		if (name_len == len)
			return kv_fail(
				why, -EINVAL,
				"options are name=value,name=value: \"%.*s\" has no \"=\"",
				(int)len, text);
		o = option_find(opts, text, name_len);
		if (!o) {
			const char *nearest = option_nearest(opts, text, name_len);

			return kv_fail(
				why, -EINVAL,
				nearest ? "engine %s has no option \"%.*s\"; nearest is %s"
					: "engine %s has no option \"%.*s\", nor any other",
				ops->name, (int)name_len, text, nearest);
		}
		error = parse_value(o, text + name_len + 1, len - name_len - 1,
				    &value[o - opts], why);
		if (error)
			return error;
		text += len + (text[len] == ',');
	}
	return 0;
}

/* ---- the calls ---- */

int kv_open(const struct kv_ops *ops, struct env *env, const char *dir, const char *opts,
	    struct kv **out, struct kv_msg *why)
{
	uint64_t value[OPTS_MAX];
	int error = parse_options(ops, opts, value, why);

	if (error)
		return error;
	if (why)
		why->text[0] = '\0';
	return ops->open(env, dir, value, out, why);
}

int kv_close(struct kv *kv)
{
	return kv ? kv->ops->close(kv) : 0;
}

static bool has(const struct kv *kv, unsigned int caps)
{
	/* EXERCISE 1.6 begin: all of caps, not any of them
	 *|	return true;
	 */
	return (kv->ops->caps & caps) == caps;
	/* EXERCISE 1.6 end */
}

static bool key_fits(const struct kv *kv, struct kv_slice key)
{
	/* EXERCISE 1.6 begin: a limit of 0 in the table is that of kv.h
	 *|	return true;
	 */
	size_t max = kv->ops->key_max ? kv->ops->key_max : KV_KEY_MAX;

	return key.len >= kv->ops->key_min && key.len <= max;
	/* EXERCISE 1.6 end */
}

static bool value_fits(const struct kv *kv, struct kv_slice value)
{
	size_t max = kv->ops->value_max ? kv->ops->value_max : KV_VALUE_MAX;

	return value.len <= max;
}

int kv_get_at(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
	      struct kv_buf *value)
{
	/* EXERCISE 1.6 begin: on error *value is empty
	 *|	return -ENOSYS;
	 */
	value->len = 0;
	if (!key_fits(kv, key))
		return -EINVAL;
	return kv->ops->get(kv, snap, key, value);
	/* EXERCISE 1.6 end */
}

int kv_get(struct kv *kv, struct kv_slice key, struct kv_buf *value)
{
	return kv_get_at(kv, NULL, key, value);
}

/* For an engine without multi_get: a snapshot makes n gets see one state. */
static int multi_get_loop(struct kv *kv, struct kv_snapshot *snap, size_t n,
			  const struct kv_slice *key, struct kv_buf *value, int *error)
{
	/* EXERCISE 1.6 begin: all n gets see one state, where the engine can
	 *|	return -ENOSYS;
	 */
	struct kv_snapshot *own = NULL;
	size_t i;

	if (!snap && n > 1 && has(kv, KV_CAP_SNAPSHOT)) {
		int failed = kv_snapshot(kv, &own);

		if (failed)
			return failed;
		snap = own;
	}
	for (i = 0; i < n; i++)
		error[i] = kv_get_at(kv, snap, key[i], &value[i]);
	kv_release(kv, own);
	return 0;
	/* EXERCISE 1.6 end */
}

int kv_multi_get(struct kv *kv, struct kv_snapshot *snap, size_t n,
		 const struct kv_slice *key, struct kv_buf *value, int *error)
{
	bool fit = true;
	size_t i;

	for (i = 0; i < n; i++) {
		value[i].len = 0;
		fit = fit && key_fits(kv, key[i]);
	}
	/* The loop gives each key that does not fit its own -EINVAL. */
	if (!fit || !kv->ops->multi_get)
		return multi_get_loop(kv, snap, n, key, value, error);
	return kv->ops->multi_get(kv, snap, n, key, value, error);
}

int kv_write(struct kv *kv, const struct kv_op *op, size_t n, enum kv_durability how)
{
	/* EXERCISE 1.6 begin: each step is checked before the engine sees one; none to do is 0
	 *|	return -ENOSYS;
	 */
	size_t i;

	if (how > KV_SYNC)
		return -EINVAL;
	if (how != KV_NONE && !has(kv, KV_CAP_DURABLE))
		return -EOPNOTSUPP;
	if (n > 1 && !has(kv, KV_CAP_BATCH))
		return -EOPNOTSUPP;
	for (i = 0; i < n; i++) {
		switch (op[i].type) {
		case KV_PUT:
			if (!key_fits(kv, op[i].key) || !value_fits(kv, op[i].value))
				return -EINVAL;
			break;
		case KV_DELETE:
			if (!key_fits(kv, op[i].key))
				return -EINVAL;
			break;
		case KV_DELETE_RANGE: /* its ends are bounds, which need not fit */
			if (!has(kv, KV_CAP_DELETE_RANGE))
				return -EOPNOTSUPP;
			if (op[i].key.len > KV_KEY_MAX ||
			    (op[i].value.data && op[i].value.len > KV_KEY_MAX))
				return -EINVAL;
			break;
		default:
			return -EINVAL;
		}
	}
	return n ? kv->ops->write(kv, op, n, how) : 0;
	/* EXERCISE 1.6 end */
}

int kv_put(struct kv *kv, struct kv_slice key, struct kv_slice value,
	   enum kv_durability how)
{
	struct kv_op op = { KV_PUT, key, value };

	return kv_write(kv, &op, 1, how);
}

int kv_delete(struct kv *kv, struct kv_slice key, enum kv_durability how)
{
	struct kv_op op = { KV_DELETE, key, { NULL, 0 } };

	return kv_write(kv, &op, 1, how);
}

int kv_snapshot(struct kv *kv, struct kv_snapshot **out)
{
	/* EXERCISE 1.6 begin: only an engine that has snapshots has the function
	 *|	return -EOPNOTSUPP;
	 */
	return has(kv, KV_CAP_SNAPSHOT) ? kv->ops->snapshot(kv, out) : -EOPNOTSUPP;
	/* EXERCISE 1.6 end */
}

void kv_release(struct kv *kv, struct kv_snapshot *snap)
{
	if (snap)
		kv->ops->release(kv, snap);
}

int kv_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	return has(kv, KV_CAP_CURSOR) ? kv->ops->cursor(kv, snap, out) : -EOPNOTSUPP;
}

int kv_sync(struct kv *kv)
{
	/* EXERCISE 1.6 begin: the table may hold NULL
	 *|	return -ENOSYS;
	 */
	return kv->ops->sync ? kv->ops->sync(kv) : 0;
	/* EXERCISE 1.6 end */
}

int kv_compact(struct kv *kv)
{
	return kv->ops->compact ? kv->ops->compact(kv) : 0;
}

int kv_backup(struct kv *kv, const char *dir)
{
	return has(kv, KV_CAP_BACKUP) ? kv->ops->backup(kv, dir) : -EOPNOTSUPP;
}

int kv_verify(struct kv *kv, struct kv_msg *why)
{
	return has(kv, KV_CAP_VERIFY) ? kv->ops->verify(kv, why) : -EOPNOTSUPP;
}

void kv_stats(struct kv *kv, kv_stat_fn *emit, void *arg)
{
	if (kv->ops->stats)
		kv->ops->stats(kv, emit, arg);
}

void kv_recovery(struct kv *kv, struct kv_recovery *out)
{
	/* EXERCISE 1.6 begin: an engine that has nothing to say leaves zeroes */
	*out = (struct kv_recovery){ 0 };
	if (kv->ops->recovery)
		kv->ops->recovery(kv, out);
	/* EXERCISE 1.6 end */
}
