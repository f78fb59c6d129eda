/* SPDX-License-Identifier: MIT */
/*
 * report.c - see report.h.
 */
#include "report.h"

#include <stdio.h>

void report_print(const struct words *w)
{
	int i;

	for (i = 0; i < WORDS_LENGTHS; i++)
		if (w->of_length[i])
			printf("%d letters: %u\n", i + 1, w->of_length[i]);
	printf("words: %u\n", w->total);
}
