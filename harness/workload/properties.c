/* SPDX-License-Identifier: MIT */
/*
 * properties.c - see properties.h. The grammar is that of java.util.Properties.load().
 */
#include "properties.h"

enum { FILE_MAX = 1 << 20 };

struct reader {
	const char *p, *end;
	unsigned int line;
	struct kv_buf logical; /* one line, continuations joined, escapes still in it */
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static int put(struct kv_buf *b, char c)
{
	return kv_buf_append(b, &c, 1);
}

static void skip_blanks(struct reader *r)
{
	while (r->p < r->end && blank(*r->p))
		r->p++;
}

/* Past "\n", "\r" or "\r\n". */
static void skip_newline(struct reader *r)
{
	if (r->p < r->end && *r->p == '\r')
		r->p++;
	if (r->p < r->end && *r->p == '\n')
		r->p++;
	r->line++;
}

static bool at_newline(const struct reader *r)
{
	return r->p < r->end && (*r->p == '\n' || *r->p == '\r');
}

/* Reads one logical line; an odd number of backslashes before a line's end joins the next. */
static int read_logical(struct reader *r)
{
	bool escaped = false;
	int error = 0;

	r->logical.len = 0;
	while (!error && r->p < r->end) {
		if (at_newline(r)) {
			skip_newline(r);
			if (!escaped)
				return 0;
			r->logical.len--; /* the backslash */
			escaped = false;
			skip_blanks(r);
			continue;
		}
		escaped = *r->p == '\\' && !escaped;
		error = put(&r->logical, *r->p++);
	}
	return error;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

/* \uXXXX as UTF-8; a malformed one is -EINVAL, as in Java. */
static int put_unicode(struct kv_buf *out, const char **p, const char *end)
{
	unsigned int v = 0;
	int i, error;

	if (end - *p < 4)
		return -EINVAL;
	for (i = 0; i < 4; i++) {
		int digit = hex_digit(*(*p)++);

		if (digit < 0)
			return -EINVAL;
		v = v << 4 | (unsigned int)digit;
	}
	if (v < 0x80)
		return put(out, (char)v);
	if (v < 0x800) {
		error = put(out, (char)(0xc0 | v >> 6));
	} else {
		error = put(out, (char)(0xe0 | v >> 12));
		if (!error)
			error = put(out, (char)(0x80 | (v >> 6 & 0x3f)));
	}
	return error ? error : put(out, (char)(0x80 | (v & 0x3f)));
}

/* One character, unescaped, to out. */
static int put_unescaped(struct kv_buf *out, const char **p, const char *end)
{
	char c = *(*p)++;

	if (c != '\\')
		return put(out, c);
	if (*p == end)
		return 0; /* a backslash that ends the file escapes nothing */
	c = *(*p)++;
	switch (c) {
	case 'n':
		return put(out, '\n');
	case 't':
		return put(out, '\t');
	case 'r':
		return put(out, '\r');
	case 'f':
		return put(out, '\f');
	case 'u':
		return put_unicode(out, p, end);
	default:
		return put(out, c);
	}
}

static int split(const struct kv_buf *logical, struct kv_buf *name, struct kv_buf *value)
{
	const char *p = logical->data, *end = p + logical->len;
	int error = 0;

	name->len = value->len = 0;
	while (!error && p < end && *p != '=' && *p != ':' && !blank(*p))
		error = put_unescaped(name, &p, end);
	while (p < end && blank(*p))
		p++;
	if (p < end && (*p == '=' || *p == ':'))
		p++;
	while (p < end && blank(*p))
		p++;
	while (!error && p < end)
		error = put_unescaped(value, &p, end);
	if (!error)
		error = put(name, '\0');
	return error ? error : put(value, '\0');
}

/* Over blank lines and comments, to where a property begins or the text ends. */
static void skip_to_property(struct reader *r)
{
	while (r->p < r->end) {
		skip_blanks(r);
		if (r->p < r->end && (*r->p == '#' || *r->p == '!'))
			while (r->p < r->end && !at_newline(r))
				r->p++;
		if (!at_newline(r))
			return;
		skip_newline(r);
	}
}

int properties_parse(const char *path, const char *text, size_t len, properties_fn *fn,
		     void *arg, struct kv_msg *why)
{
	struct reader r = { .p = text, .end = text + len, .line = 1 };
	struct kv_buf name = { 0 }, value = { 0 };
	int error = 0;

	if (len && memchr(text, 0, len))
		return kv_fail(why, -EINVAL, "%s: holds NUL bytes, not a property file",
			       path);
	for (skip_to_property(&r); !error && r.p < r.end; skip_to_property(&r)) {
		unsigned int line = r.line;

		error = read_logical(&r);
		if (error || !r.logical.len)
			continue;
		error = split(&r.logical, &name, &value);
		if (error == -EINVAL)
			kv_fail(why, error, "%s:%u: \\u wants four hexadecimal digits",
				path, line);
		else if (!error)
			error = fn(arg, line, name.data, value.data);
	}
	if (error == -ENOMEM)
		kv_fail(why, error, "%s: out of memory", path);
	kv_buf_free(&r.logical);
	kv_buf_free(&name);
	kv_buf_free(&value);
	return error;
}

int properties_read(const char *path, properties_fn *fn, void *arg, struct kv_msg *why)
{
	struct kv_buf text = { 0 };
	FILE *f = fopen(path, "re");
	int error;

	if (!f) {
		error = -errno;
		return kv_fail(why, error, "%s: %s", path, strerror(-error));
	}
	error = kv_buf_reserve(&text, FILE_MAX + 1);
	if (error)
		kv_fail(why, error, "%s: out of memory", path);
	else
		text.len = fread(text.data, 1, FILE_MAX + 1, f);
	if (!error && ferror(f))
		error = kv_fail(why, -EIO, "%s: cannot be read: %s", path,
				strerror(errno));
	else if (!error && text.len > FILE_MAX)
		error = kv_fail(why, -EFBIG, "%s: over 1 MiB, not a workload file", path);
	(void)fclose(f);
	if (!error)
		error = properties_parse(path, text.data, text.len, fn, arg, why);
	kv_buf_free(&text);
	return error;
}
