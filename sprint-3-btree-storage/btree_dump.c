/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_dump.c - the tree for people: as indented text, or as a drawing by Graphviz:
 *
 *	dot -Tsvg tree.dot > tree.svg
 */
#include "btree_store.h"

enum {
	BYTES_SHOWN = 24, /* of a key */
	INDENT = 2,
};

struct dump {
	struct btree_tree *t;
	enum btree_dump_style style;
	unsigned int levels, max_keys;
	btree_print_fn *print;
	void *arg;
	struct kv_buf line;
	int error; /* of building the line */
};

/* ---- a line ---- */

static void add_bytes(struct dump *d, const void *p, size_t n)
{
	if (!d->error)
		d->error = kv_buf_append(&d->line, p, n);
}

static void __attribute__((format(printf, 2, 3)))
add(struct dump *d, const char *fmt, ...)
{
	char text[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = port_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_bytes(d, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static int end_line(struct dump *d)
{
	add_bytes(d, "", 1);
	if (!d->error)
		d->print(d->arg, d->line.data);
	d->line.len = 0;
	return d->error;
}

/* What Graphviz takes for more than text in a record's label. */
static bool is_special(const struct dump *d, char c)
{
	return c == '"' || c == '\\' ||
	       (d->style == BTREE_DUMP_DOT && strchr("{}|<> ", c));
}

/* Printable, and no longer than fits a drawing. */
static void add_key(struct dump *d, struct kv_slice key)
{
	const uint8_t *p = key.data;
	size_t i, n = key.len < BYTES_SHOWN ? key.len : BYTES_SHOWN;

	for (i = 0; i < n; i++) {
		if (p[i] < ' ' || p[i] > '~')
			add(d, d->style == BTREE_DUMP_DOT ? "\\\\x%02x" : "\\x%02x",
			    p[i]);
		else if (is_special(d, (char)p[i]))
			add(d, "\\%c", p[i]);
		else
			add(d, "%c", p[i]);
	}
	if (key.len > n)
		add(d, "...");
}

static void add_entry_key(struct dump *d, const struct btree_node *n, unsigned int i)
{
	uint8_t key[BTREE_KEY_MAX];

	add_key(d, kv_slice(key, btree_node_key_copy(n, d->t->shape, i, key)));
}

/* ---- text ---- */

static void add_fence(struct dump *d, struct kv_slice fence, bool upper)
{
	if (upper && !fence.data) {
		add(d, "end");
		return;
	}
	add(d, "\"");
	add_key(d, fence);
	add(d, "\"");
}

static void text_keys(struct dump *d, const struct btree_node *n)
{
	unsigned int i, shown = n->count < d->max_keys ? n->count : d->max_keys, flags;

	for (i = 0; i < shown; i++) {
		add(d, i ? ", \"" : ": \"");
		add_entry_key(d, n, i);
		add(d, "\"");
		(void)btree_node_value(n, d->t->shape, i, &flags);
		if (flags & BTREE_SLOT_OVERFLOW)
			add(d, "+");
	}
	if (shown && shown < n->count)
		add(d, ", and %u more", n->count - shown);
}

static int text_node(void *arg, const struct btree_step *step)
{
	struct dump *d = arg;
	const struct btree_node *n = step->node;
	const struct btree_shape *shape = d->t->shape;

	add(d, "%*s%s %u ", (int)((d->levels - 1 - step->level) * INDENT), "",
	    step->level ? "node" : "leaf", step->child.page);
	add(d, "level %u ", step->level);
	add(d, "[");
	add_fence(d, btree_node_lower(n, shape), false);
	add(d, ", ");
	add_fence(d, btree_node_upper(n, shape), true);
	add(d, ") %u %s, prefix %u, %u%% full", n->count,
	    step->level ? "children" : "keys", n->prefix_bytes,
	    (unsigned int)(btree_node_used(n, shape) * 100 / shape->page_bytes));
	if (!step->level)
		text_keys(d, n);
	return end_line(d);
}

/* ---- drawing ---- */

/* A record with a field for each child, and the separators between them. */
static void dot_inner(struct dump *d, const struct btree_node *n)
{
	unsigned int i;

	for (i = 0; i < n->count; i++) {
		if (i) {
			add(d, "|");
			add_entry_key(d, n, i);
			add(d, "|");
		}
		add(d, "<c%u>", i);
	}
}

static void dot_leaf(struct dump *d, const struct btree_node *n)
{
	unsigned int i, shown = n->count < d->max_keys ? n->count : d->max_keys;

	for (i = 0; i < shown; i++) {
		if (i)
			add(d, "|");
		add_entry_key(d, n, i);
	}
	if (shown < n->count)
		add(d, "%s%u more", shown ? "|" : "", n->count - shown);
	else if (!n->count)
		add(d, "empty");
}

static int dot_node(void *arg, const struct btree_step *step)
{
	struct dump *d = arg;
	int error;

	add(d, "  n%u [label=\"", step->child.page);
	if (step->level)
		dot_inner(d, step->node);
	else
		dot_leaf(d, step->node);
	add(d, "\"%s]", step->level ? "" : ", fillcolor=\"#eef3fa\", group=leaf");
	error = end_line(d);
	if (error || !step->parent)
		return error;
	add(d, "  n%u:c%u:s -> n%u:n",
	    ((const struct btree_page_header *)step->parent)->page, step->index,
	    step->child.page);
	return end_line(d);
}

static int dot_begin(struct dump *d)
{
	int error;

	add(d, "digraph btree {");
	error = end_line(d);
	if (error)
		return error;
	add(d, "  node [shape=record, style=filled, fillcolor=white, height=0.3, ");
	add(d, "fontname=\"monospace\", fontsize=11]");
	error = end_line(d);
	if (error)
		return error;
	add(d, "  edge [arrowsize=0.6]; nodesep=0.2; ranksep=0.4");
	return end_line(d);
}

static int dot_end(struct dump *d)
{
	add(d, "}");
	return end_line(d);
}

/* ---- the whole ---- */

int btree_dump(struct kv *kv, enum btree_dump_style style, unsigned int max_keys_shown,
	       btree_print_fn *print, void *arg)
{
	struct btree_store *s = btree_store(kv);
	struct dump d = {
		.t = &s->tree,
		.style = style,
		.max_keys = max_keys_shown,
		.print = print,
		.arg = arg,
	};
	bool dot = style == BTREE_DUMP_DOT;
	struct kv_snapshot *snap;
	int error = btree_snapshot_enter(s, &snap);

	if (error)
		return error;
	d.levels = snap->version.levels;
	if (dot)
		error = dot_begin(&d);
	if (!error)
		error = btree_walk(d.t, &snap->version, dot ? dot_node : text_node, &d,
				   NULL);
	if (!error && dot)
		error = dot_end(&d);
	btree_snapshot_leave(s, snap);
	kv_buf_free(&d.line);
	return error;
}
