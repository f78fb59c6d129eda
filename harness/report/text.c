/* SPDX-License-Identifier: MIT */
/*
 * text.c - growing text, and numbers as people read them.
 */
#include "text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- growing text ---- */

void text_add_bytes(struct text *t, const char *s, size_t len)
{
	if (!t->failed && kv_buf_append(&t->buf, s, len))
		t->failed = true;
}

void text_add(struct text *t, const char *s)
{
	text_add_bytes(t, s, strlen(s));
}

void text_vprintf(struct text *t, const char *fmt, va_list args)
{
	va_list again;
	int n;

	if (t->failed)
		return;
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || kv_buf_reserve(&t->buf, t->buf.len + (size_t)n + 1)) {
		t->failed = true;
		return;
	}
	vsnprintf((char *)t->buf.data + t->buf.len, (size_t)n + 1, fmt, args);
	t->buf.len += (size_t)n;
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	text_vprintf(t, fmt, args);
	va_end(args);
}

const char *text_string(struct text *t)
{
	if (t->failed || kv_buf_reserve(&t->buf, t->buf.len + 1)) {
		t->failed = true;
		return "";
	}
	((char *)t->buf.data)[t->buf.len] = '\0';
	return t->buf.data;
}

void text_free(struct text *t)
{
	kv_buf_free(&t->buf);
	t->failed = false;
}

/* ---- numbers ---- */

/* Three significant digits, never an exponent within what a report can hold. */
static struct formatted significant(double v, const char *unit)
{
	struct formatted f;
	double size = fabs(v);
	int decimals;

	if (isnan(v)) {
		snprintf(f.s, sizeof(f.s), "–");
		return f;
	}
	if (size > 0 && size < 0.001) {
		snprintf(f.s, sizeof(f.s), "%.1e%s", v, unit);
		return f;
	}
	/* The thresholds are those at which rounding reaches the next digit. */
	decimals = v == 0          ? 0
		   : size < 0.0995 ? 4
		   : size < 0.995  ? 3
		   : size < 9.995  ? 2
		   : size < 99.95  ? 1
				   : 0;
	snprintf(f.s, sizeof(f.s), "%.*f%s", decimals, v, unit);
	return f;
}

struct formatted format_number(double v)
{
	return significant(v, "");
}

struct formatted format_rate(double v)
{
	if (v >= 999.5e6)
		return significant(v / 1e9, " G");
	if (v >= 999.5e3)
		return significant(v / 1e6, " M");
	if (v >= 999.5)
		return significant(v / 1e3, " k");
	return significant(v, "");
}

struct formatted format_ns(double v)
{
	if (v >= 999.5e6)
		return significant(v / 1e9, " s");
	if (v >= 999.5e3)
		return significant(v / 1e6, " ms");
	if (v >= 999.5)
		return significant(v / 1e3, " µs");
	return significant(v, isnan(v) ? "" : " ns");
}

struct formatted format_bytes(double v)
{
	static const char *const unit[] = { " B", " KiB", " MiB", " GiB", " TiB" };
	size_t i = 0;

	while (i + 1 < sizeof(unit) / sizeof(unit[0]) && v >= 1023.5) {
		v /= 1024;
		i++;
	}
	return significant(v, unit[i]);
}

struct formatted format_ratio(double v)
{
	struct formatted f;

	if (isnan(v) || v >= 0.995 || v < 0.01)
		return significant(v, "×");
	snprintf(f.s, sizeof(f.s), "%.2f×", v);
	return f;
}

struct formatted format_count(uint64_t n)
{
	char digits[24];
	struct formatted f;
	size_t len =
		(size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	size_t i, out = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			f.s[out++] = ',';
		f.s[out++] = digits[i];
	}
	f.s[out] = '\0';
	return f;
}

/* ---- words ---- */

void text_slug(char *out, size_t size, const char *s)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++) {
		if (isalnum((unsigned char)*s))
			out[n++] = (char)tolower((unsigned char)*s);
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = '\0';
}

void text_add_shell_word(struct text *t, const char *s)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-./,:=+@%";

	if (*s && strspn(s, safe) == strlen(s)) {
		text_add(t, s);
		return;
	}
	text_add(t, "'");
	for (; *s; s++) {
		if (*s == '\'')
			text_add(t, "'\\''");
		else
			text_add_bytes(t, s, 1);
	}
	text_add(t, "'");
}

static bool is_character_start(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t text_columns(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += is_character_start(*s);
	return n;
}

size_t text_prefix(const char *s, size_t columns)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (is_character_start(s[i]) && columns-- == 0)
			break;
	return i;
}
