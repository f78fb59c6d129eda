/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * index_fuzz.c - the checkpoint of the hash engine's index as a fuzz target (fuzz.h):
 * whatever INDEX holds, the store opens or says what is wrong, memory is in proportion to
 * the files, and no get gives what nobody put. Where the checkpoint is not used, all is as
 * it was.
 *
 * An input is a byte of flags and the bytes of INDEX; STORE and segments beside it are a
 * real store's.
 */
#include "index_fuzz.h"
#include "hash_fuzz.h"

enum { HEADER = 128, BLOCK = 16, ENTRY = 16, SEGMENT = 24 };

/* Checksums as the reader will look for them; a block's number too. */
static void mend(uint8_t *p, size_t size)
{
	uint64_t segments;
	uint32_t number = 0;
	size_t at = HEADER;

	if (size < HEADER)
		return;
	port_put_le32(p + 124, port_crc32c(0, p, 124));
	segments = port_get_le64(p + 40);
	if (size - at < 8 || segments > (size - at - 8) / SEGMENT)
		return;
	port_put_le32(p + at + segments * SEGMENT,
		      port_crc32c(0, p + at, (size_t)segments * SEGMENT));
	for (at += (size_t)segments * SEGMENT + 8; size - at >= BLOCK; number++) {
		uint8_t *b = p + at;
		uint32_t entries = port_get_le32(b);

		if (entries > (size - at - BLOCK) / ENTRY)
			return;
		port_put_le32(b + 4, number);
		port_put_le32(b + 8, port_crc32c(port_crc32c(0, b, 8), b + BLOCK,
						 (size_t)entries * ENTRY));
		at += BLOCK + (size_t)entries * ENTRY;
	}
}

static int run(const uint8_t *data, size_t size)
{
	const struct env_sim_config config = { .seed = 1, .no_journal = true };
	unsigned int flags = data[0];
	const struct hash_fuzz_store *store =
		hash_fuzz_store(flags >> INDEX_FUZZ_KIND & (HASH_FUZZ_KINDS - 1));
	const struct hash_fuzz_file *identity = hash_fuzz_find(store, "STORE");
	uint8_t *bytes = fuzz_copy(data + 1, size - 1);
	struct env_sim *sim = env_sim_new(&config);
	char options[128];
	int result;

	if (flags & INDEX_FUZZ_MEND)
		mend(bytes, size - 1);
	(void)snprintf(options, sizeof(options), "%s%s%s", HASH_FUZZ_OPTIONS,
		       flags & INDEX_FUZZ_NO_MAP ? ",map=off" : "",
		       flags & INDEX_FUZZ_OTHER ? ",table=linear" : "");
	hash_fuzz_put_logs(env_sim_env(sim), store);
	fuzz_write_file(env_sim_env(sim), "store/STORE", identity->bytes, identity->n);
	fuzz_write_file(env_sim_env(sim), "store/INDEX", bytes, size - 1);
	result = hash_fuzz_use(env_sim_env(sim), options, store,
			       size + store->files * HASH_FUZZ_SEGMENT);
	env_sim_free(sim);
	free(bytes);
	return result;
}

/* The stores that have an INDEX, with and without its checksums to be mended. */
static size_t seed(unsigned int i, uint8_t *out)
{
	static const enum hash_fuzz_kind kinds[] = { HASH_FUZZ_CLOSED, HASH_FUZZ_BEHIND,
						     HASH_FUZZ_MANY };
	enum hash_fuzz_kind kind = kinds[i / 2 % 3];
	const struct hash_fuzz_file *f = hash_fuzz_find(hash_fuzz_store(kind), "INDEX");

	fuzz_demand(f && f->n < fuzz_target.max, "a real store has no INDEX that fits");
	out[0] = (uint8_t)(kind << INDEX_FUZZ_KIND | (i % 2 ? 0 : INDEX_FUZZ_MEND) |
			   (i >= 6 ? INDEX_FUZZ_NO_MAP : 0));
	memcpy(out + 1, f->bytes, f->n);
	return 1 + f->n;
}

const struct fuzz_target fuzz_target = {
	.name = "index_fuzz",
	.head = 1,
	.max = 20000,
	.seeds = 12,
	.seed = seed,
	.run = run,
};
