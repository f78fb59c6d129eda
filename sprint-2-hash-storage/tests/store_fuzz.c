/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * store_fuzz.c - what the hash engine reads of STORE and of its records in the log as a
 * fuzz target (fuzz.h): a store without a checkpoint, of one segment.
 *
 * An input is a head, then STORE, then the segment:
 *
 *   0   1   enum store_fuzz_flags
 *   1   1   bytes of STORE
 *   2   1   number of the segment
 *   3       the bytes
 */
#include "store_fuzz.h"
#include "hash_fuzz.h"

enum { IDENTITY = 64 };

static int run(const uint8_t *data, size_t size)
{
	const struct env_sim_config config = { .seed = 1, .no_journal = true };
	unsigned int flags = data[0], number = data[2];
	size_t n = size - STORE_FUZZ_HEAD, first = data[1] < n ? data[1] : n;
	uint8_t *identity = fuzz_copy(data + STORE_FUZZ_HEAD, first);
	uint8_t *log = fuzz_copy(data + STORE_FUZZ_HEAD + first, n - first);
	uint64_t id = first >= IDENTITY ? port_get_le64(identity + 16) : 0;
	struct env_sim *sim = env_sim_new(&config);
	struct env *env = env_sim_env(sim);
	char path[64];
	int result;

	if (flags & STORE_FUZZ_MEND_STORE && first >= IDENTITY)
		port_put_le32(identity + 60, port_crc32c(0, identity, 60));
	if (flags & STORE_FUZZ_MEND_LOG) {
		fuzz_mend_segment_header(log, n - first, id, number, HASH_FUZZ_SEGMENT);
		fuzz_mend_records(log, n - first, id, number);
	}
	fuzz_demand(!env->ops->mkdir(env, "store"), "no directory");
	(void)snprintf(path, sizeof(path), "store/%012x.log", number);
	fuzz_write_file(env, path, log, n - first);
	fuzz_write_file(env, "store/STORE", identity, first);
	result = hash_fuzz_use(env,
			       flags & STORE_FUZZ_NO_MAP ? HASH_FUZZ_OPTIONS ",map=off"
							 : HASH_FUZZ_OPTIONS,
			       NULL, n + HASH_FUZZ_SEGMENT);
	env_sim_free(sim);
	free(identity);
	free(log);
	return result;
}

/* The stores of one segment, with and without checksums to be mended. */
static size_t seed(unsigned int i, uint8_t *out)
{
	static const enum hash_fuzz_kind kinds[] = { HASH_FUZZ_CLOSED, HASH_FUZZ_BEHIND,
						     HASH_FUZZ_RETIRED };
	const struct hash_fuzz_store *s = hash_fuzz_store(kinds[i / 2 % 3]);
	const struct hash_fuzz_file *identity = hash_fuzz_find(s, "STORE"),
				    *log = hash_fuzz_find(s, ".log");

	fuzz_demand(identity && log &&
			    STORE_FUZZ_HEAD + identity->n + log->n <= fuzz_target.max,
		    "a real store has files that do not fit");
	out[0] = (uint8_t)((i % 2 ? 0 : STORE_FUZZ_MEND_STORE | STORE_FUZZ_MEND_LOG) |
			   (i >= 6 ? STORE_FUZZ_NO_MAP : 0));
	out[1] = (uint8_t)identity->n;
	out[2] = (uint8_t)strtoul(log->name, NULL, 16);
	memcpy(out + STORE_FUZZ_HEAD, identity->bytes, identity->n);
	memcpy(out + STORE_FUZZ_HEAD + identity->n, log->bytes, log->n);
	return STORE_FUZZ_HEAD + identity->n + log->n;
}

const struct fuzz_target fuzz_target = {
	.name = "store_fuzz",
	.head = STORE_FUZZ_HEAD,
	.max = 80 << 10,
	.seeds = 12,
	.seed = seed,
	.run = run,
};
