/* SPDX-License-Identifier: MIT */
/*
 * null_engine.c - a store that keeps nothing: what the harness itself costs.
 *
 * A write succeeds and is forgotten; a get finds the same value under every key; a cursor
 * yields the same pair for ever. So whatever time a run over it takes is the harness's
 * own: streams, records, clocks, histograms. It holds to kv.h's signatures but not to
 * its promises, runs no conformance suite, and its content can't be checked.
 */
#include "engines.h"

enum { OPT_MEMORY_BYTES, OPT_GROUP_MS, OPT_DURABILITY, OPT_VALUE_BYTES };

static const struct kv_opt null_opts[] = {
	{ "memory_bytes", "ignored", NULL, 256u << 20, 0, UINT64_MAX },
	{ "group_ms", "ignored", NULL, 100, 0, UINT64_MAX },
	{ "durability", "ignored", "none|group|sync", KV_SYNC, 0, 0 },
	{ "value_bytes", "length of the value under every key", NULL, 100, 0, 16u << 20 },
	{ 0 },
};

struct null_store {
	struct kv kv;
	struct kv_slice value; /* bytes owned by the store */
};

static int null_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why);

static int null_close(struct kv *kv)
{
	struct null_store *s = container_of(kv, struct null_store, kv);

	port_free((void *)s->value.data);
	port_free(s);
	return 0;
}

static int null_get(struct kv *kv, struct kv_snapshot *snap, struct kv_slice key,
		    struct kv_buf *value)
{
	struct null_store *s = container_of(kv, struct null_store, kv);

	(void)snap, (void)key;
	if (value->cap >= s->value.len && value->data) {
		value->len = s->value.len;
		return 0;
	}
	/* First use of this buffer: fill it, so that whoever reads it reads real bytes. */
	return kv_buf_set(value, s->value.data, s->value.len);
}

static int null_write(struct kv *kv, const struct kv_op *op, size_t n,
		      enum kv_durability how)
{
	(void)kv, (void)op, (void)n, (void)how;
	return 0;
}

static int null_seek(struct kv_cursor *c, struct kv_slice key)
{
	(void)c, (void)key;
	return 0;
}

static int null_move(struct kv_cursor *c)
{
	(void)c;
	return 0;
}

static void null_cursor_close(struct kv_cursor *c)
{
	port_free(c);
}

static const struct kv_cursor_ops null_cursor_ops = {
	.seek = null_seek,
	.next = null_move,
	.prev = null_move,
	.close = null_cursor_close,
};

static int null_cursor(struct kv *kv, struct kv_snapshot *snap, struct kv_cursor **out)
{
	struct null_store *s = container_of(kv, struct null_store, kv);
	struct kv_cursor *c = port_alloc(sizeof(*c));

	(void)snap;
	if (!c)
		return -ENOMEM;
	c->ops = &null_cursor_ops;
	c->key = kv_str("user0000000000000000000");
	c->value = s->value;
	*out = c;
	return 0;
}

static const struct kv_ops null_ops = {
	.name = "null",
	.summary = "keeps nothing: the cost of the harness itself",
	.caps = KV_CAP_CURSOR | KV_CAP_ORDERED | KV_CAP_BATCH | KV_CAP_DELETE_RANGE |
		KV_CAP_DURABLE,
	.opts = null_opts,
	.open = null_open,
	.close = null_close,
	.get = null_get,
	.write = null_write,
	.cursor = null_cursor,
};

static int null_open(struct env *env, const char *dir, const uint64_t *opt,
		     struct kv **out, struct kv_msg *why)
{
	size_t len = opt[OPT_VALUE_BYTES];
	struct null_store *s;
	char *value;

	(void)dir;
	s = port_alloc(sizeof(*s));
	value = port_alloc(len + 1);
	if (!s || !value) {
		port_free(s);
		port_free(value);
		return kv_fail(why, -ENOMEM, "no memory for a value of %zu bytes", len);
	}
	memset(value, 'x', len);
	*s = (struct null_store){ { &null_ops, env }, { value, len } };
	*out = &s->kv;
	return 0;
}

static const char *null_version(void)
{
	return "1";
}

const struct engine_info engine_null = {
	.name = "null",
	.kind = ENGINE_NULL,
	.ops = &null_ops,
	.version = null_version,
	.tuning =
		"Does nothing: a write is forgotten, every get finds one constant value. "
		"What it reaches is the ceiling that the harness sets to every engine.",
};
