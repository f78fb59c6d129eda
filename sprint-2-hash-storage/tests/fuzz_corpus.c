/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fuzz_corpus.c - writes a target's good inputs (fuzz.h) into a directory, one a file, for
 * a fuzzer to start from: NAME_fuzz_corpus DIR
 */
#include "fuzz.h"

static int write_seed(const char *dir, unsigned int i, uint8_t *bytes)
{
	size_t n = fuzz_target.seed(i, bytes);
	char path[1024];
	FILE *f;
	int error;

	(void)snprintf(path, sizeof(path), "%s/seed-%02u", dir, i);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return 1;
	}
	error = fwrite(bytes, 1, n, f) != n;
	if (fclose(f) || error) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t *bytes = malloc(fuzz_target.max);
	int error = !bytes;
	unsigned int i;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s DIR\n", argv[0]);
		error = 2;
	}
	for (i = 0; !error && i < fuzz_target.seeds; i++)
		error = write_seed(argv[1], i, bytes);
	free(bytes);
	return error;
}
