/* SPDX-License-Identifier: MIT */
/*
 * words.h - counts the words of a text by their length.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>

enum { WORDS_LENGTHS = 8 }; /* words of 1 to 8 letters have a counter */

struct words {
	unsigned int of_length[WORDS_LENGTHS]; /* of_length[0]: of one letter */
	unsigned int total;
};

void words_count(struct words *w, const char *text);

#endif /* WORDS_H */
