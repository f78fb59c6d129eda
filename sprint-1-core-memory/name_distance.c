/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * name_distance.c - the edit distance of Levenshtein (1966), by the table of Wagner and
 * Fischer (1974): entry (i, j) is the distance between the first i bytes of the one name and
 * the first j of the other. It follows from the entries above, to the left, and above on the
 * left; so one row is kept, and overwritten from left to right.
 */
#include "name_distance.h"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t name_distance(const char *name, size_t len, const char *known)
{
	size_t row[NAME_DISTANCE_MAX], m = strlen(known), i, j;

	if (m >= NAME_DISTANCE_MAX)
		return SIZE_MAX;
	for (j = 0; j <= m; j++)
		row[j] = j;
	for (i = 0; i < len; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (j = 1; j <= m; j++) {
			size_t replaced = diagonal + (name[i] != known[j - 1]);

			diagonal = row[j];
			row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[m];
}
