/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_inspect.c - what the checks of all engines share: keys made readable.
 */
#include "kv_inspect.h"

enum { ESCAPE_MAX = 4, DOTS = 3 };

/* One byte as up to ESCAPE_MAX characters; returns how many. */
static size_t escape(char *out, uint8_t c)
{
	static const char digit[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = digit[c >> 4];
	out[3] = digit[c & 15];
	if (c == '\\' || c == '"')
		out[1] = (char)c;
	else if (c == '\t')
		out[1] = 't';
	else if (c == '\n')
		out[1] = 'n';
	else if (c < ' ' || c > '~')
		return ESCAPE_MAX;
	else
		out[0] = (char)c;
	return out[0] == '\\' ? 2 : 1;
}

char *kv_quote(char *out, size_t size, struct kv_slice s)
{
	const uint8_t *p = s.data;
	char one[ESCAPE_MAX];
	size_t i, n, at = 0, total = 0, room = size - 1;

	for (i = 0; i < s.len && total <= room; i++)
		total += escape(one, p[i]);
	if (total > room)
		room = room > DOTS ? room - DOTS : 0;
	for (i = 0; i < s.len; i++) {
		n = escape(one, p[i]);
		if (room - at < n)
			break;
		memcpy(out + at, one, n);
		at += n;
	}
	if (i < s.len && size > DOTS) {
		memcpy(out + at, "...", DOTS);
		at += DOTS;
	}
	out[at] = '\0';
	return out;
}
