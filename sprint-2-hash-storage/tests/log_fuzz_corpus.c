/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz_corpus.c - writes the good inputs of log_fuzz.h into a directory, one a file, for
 * a fuzzer to start from: log_fuzz_corpus DIR
 */
#include "log_fuzz.h"

#include <stdio.h>

static int write_seed(const char *dir, unsigned int i)
{
	static uint8_t bytes[LOG_FUZZ_MAX];
	size_t n = log_fuzz_seed(i, bytes);
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
	unsigned int i;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: log_fuzz_corpus DIR\n");
		return 2;
	}
	for (i = 0; i < LOG_FUZZ_SEEDS; i++)
		if (write_seed(argv[1], i))
			return 1;
	return 0;
}
