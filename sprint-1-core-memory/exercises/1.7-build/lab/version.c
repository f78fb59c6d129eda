/* SPDX-License-Identifier: MIT */
/*
 * version.c - a file that includes none of the headers: it need not be compiled again when
 * one of them changes.
 */
const char *words_version(void);

const char *words_version(void)
{
	return "1";
}
