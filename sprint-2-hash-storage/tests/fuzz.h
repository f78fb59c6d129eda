/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fuzz.h - the frame that all fuzz targets share: what reads from disk, against bytes that
 * nobody wrote.
 *
 * A target is one object file with a struct fuzz_target in it. Linked with libFuzzer it is
 * a fuzzer, with fuzz_corpus.c it writes the good inputs that a fuzzer starts from, and
 * with fuzz_tests.h it is a test that needs no fuzzer: the good inputs, and thousands that
 * are a few random changes away from them. `make fuzz` runs all targets.
 *
 * A fuzzer will not guess a CRC. So that it gets behind the checks, an input has a first
 * byte of flags that may ask for checksums and ids to be mended before they are read; all
 * else is as it stands. What is meant to be raw stays raw.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../env.h"

struct fuzz_target {
	const char *name;
	size_t head;        /* bytes of an input before those of the files */
	size_t max;         /* bytes of an input; larger ones are passed over */
	unsigned int seeds; /* good inputs, out of real files */
	/* The i-th of them; returns its size. out has max bytes. */
	size_t (*seed)(unsigned int i, uint8_t *out);
	/* head < size <= max. Returns how opening ended: 0 or more, or its error. Ends the
	 * program where something is not as it should be. */
	int (*run)(const uint8_t *data, size_t size);
};

/* The program's one target. */
extern const struct fuzz_target fuzz_target;

/* What libFuzzer calls; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* How the last input ended; -EINVAL when it was passed over. */
int fuzz_result(void);

/* Says what is wrong and aborts, unless the condition holds. */
void fuzz_demand(bool condition, const char *what);

/* A copy of exactly these bytes, so that reading behind them is seen; free() it. */
uint8_t *fuzz_copy(const uint8_t *p, size_t n);
void fuzz_write_file(struct env *env, const char *path, const uint8_t *p, size_t n);

/* A log segment: ids and checksums of its header; of the records that follow each other
 * from the beginning on, and of those within groups. */
void fuzz_mend_segment_header(uint8_t *p, size_t size, uint64_t store_id, uint64_t number,
			      uint64_t segment_bytes);
void fuzz_mend_records(uint8_t *p, size_t size, uint64_t store_id, uint64_t number);

#endif /* FUZZ_H */
