/* SPDX-License-Identifier: MIT */
/*
 * text.h - growing text, and numbers as people read them.
 */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include <stdarg.h>
#include <stdbool.h>

#include "../../sprint-1-core-memory/kv.h"

/* Starts as {0}; text_free() ends it. One that ran out of memory says so for ever
 * (failed) and ignores what is added, so that a writer checks once, at the end. */
struct text {
	struct kv_buf buf; /* no NUL at the end: see text_string() */
	bool failed;
};

void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, const char *s, size_t len);
void text_printf(struct text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *fmt, va_list args);
/* With a NUL behind it, good until the next change; "" when it failed. */
const char *text_string(struct text *t);
void text_free(struct text *t);

/* A formatted number by value: printf("%s", format_ns(1234).s) prints "1.23 µs". What is
 * not known (NAN) is an en dash. */
struct formatted {
	char s[40];
};

struct formatted format_rate(double per_second); /* "1.23 M", "45.6 k", "789" */
struct formatted format_ns(double ns);           /* "850 ns" ... "1.23 s" */
struct formatted format_bytes(double bytes);     /* "1.23 GiB" */
struct formatted format_ratio(double ratio);     /* "1.42×" */
struct formatted format_number(double v);        /* three significant digits */
struct formatted format_count(uint64_t n);       /* "1,000,000" */

/* A file name's part from any bytes: letters, digits and dashes, at most size - 1. */
void text_slug(char *out, size_t size, const char *s);
/* s as one word for a shell. */
void text_add_shell_word(struct text *t, const char *s);
/* Columns that UTF-8 text takes on a terminal, counting each character as one. */
size_t text_columns(const char *s);
/* Bytes of the first `columns` characters of s. */
size_t text_prefix(const char *s, size_t columns);

#endif /* REPORT_TEXT_H */
