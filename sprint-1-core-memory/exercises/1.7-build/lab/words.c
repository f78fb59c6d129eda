/* SPDX-License-Identifier: MIT */
/*
 * words.c - see words.h. There is a mistake in it, which the exercise finds by machine.
 */
#include "words.h"

static void words_add(struct words *w, size_t length)
{
	w->total++;
	w->of_length[length - 1]++;
}

void words_count(struct words *w, const char *text)
{
	size_t length = 0;

	*w = (struct words){ 0 };
	for (;; text++) {
		if (*text && *text != ' ') {
			length++;
			continue;
		}
		if (length)
			words_add(w, length);
		length = 0;
		if (!*text)
			break;
	}
}
