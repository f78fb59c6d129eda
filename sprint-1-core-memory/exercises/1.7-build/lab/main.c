/* SPDX-License-Identifier: MIT */
/*
 * main.c - words [TEXT]: how many words of which length a text has.
 */
#include "report.h"

const char *words_version(void);

int main(int argc, char **argv)
{
	/* The last of its words has nine letters. */
	const char *text =
		argc > 1 ? argv[1] : "a store that keeps what it is told in arguments";
	struct words w;

	words_count(&w, text);
	report_print(&w);
	return words_version()[0] != '1';
}
