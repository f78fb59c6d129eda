/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * sst_fuzz.c - a whole table as a fuzz target (fuzz.h): whatever stands in the file, it is
 * opened or refused; what is asked of it is answered or refused; and a table that verifies is
 * one whose cursors find no fault in it.
 *
 *   0   1   enum sst_fuzz_flags
 *   1       the file
 */
#include "sst_fuzz.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../../sprint-2-hash-storage/tests/fuzz.h"
#include "../neon_lsm_ops.h"
#include "../sst_block.h"

#define TABLE "fuzz.sst"
enum { HEAD = 1 };

/* ---- mending ---- */

struct mend {
	uint8_t *p;
	size_t n;
	struct sst_identity id;
};

static bool seal(struct mend *m, const struct sst_handle *h, uint32_t *crc)
{
	uint8_t how;

	if (h->bytes <= SST_TRAILER_BYTES || h->offset > m->n ||
	    h->bytes > m->n - h->offset)
		return false;
	how = m->p[h->offset + h->bytes - SST_TRAILER_BYTES];
	*crc = sst_seal(m->p + h->offset, h->bytes - SST_TRAILER_BYTES,
			(enum sst_compression)how, &m->id, h->offset);
	return true;
}

static void mend_partition(struct mend *m, const struct sst_partition *part)
{
	struct sst_block index;
	struct sst_handle h;
	struct sst_entry e;
	uint32_t i, crc;

	(void)seal(m, &part->filter, &crc);
	if (!seal(m, &part->index, &crc) ||
	    sst_block_open(&index, m->p + part->index.offset,
			   part->index.bytes - SST_TRAILER_BYTES))
		return;
	for (i = 0; i < index.count && i < 1000; i++)
		if (!sst_index_entry(&index, i, &e) && !sst_handle_decode(&h, e.value))
			(void)seal(m, &h, &crc);
}

/* From the leaves up: what is above has the CRCs of what is below. */
static void mend(uint8_t *p, size_t n)
{
	struct sst_partition part;
	struct sst_properties props;
	struct sst_footer f;
	struct mend m = { .p = p, .n = n };
	struct sst_block top;
	struct sst_entry e;
	uint8_t *footer;
	uint32_t i, crc;

	if (n < SST_FOOTER_BYTES)
		return;
	footer = p + n - SST_FOOTER_BYTES;
	port_put_le32(footer + SST_FOOTER_BYTES - 4,
		      port_crc32c(0, footer, SST_FOOTER_BYTES - 4));
	if (sst_footer_decode(&f, footer, TABLE, 0, NULL))
		return;
	m.id = f.id;
	m.n = n - SST_FOOTER_BYTES;
	if (seal(&m, &f.top, &f.top_crc) &&
	    !sst_block_open(&top, p + f.top.offset, f.top.bytes - SST_TRAILER_BYTES))
		for (i = 0; i < top.count && i < 1000; i++)
			if (!sst_index_entry(&top, i, &e) &&
			    !sst_partition_decode(&part, e.value))
				mend_partition(&m, &part);
	if (seal(&m, &f.properties, &f.properties_crc)) {
		if (!sst_properties_decode(&props, p + f.properties.offset,
					   f.properties.bytes - SST_TRAILER_BYTES))
			(void)seal(&m, &props.tombstones, &crc);
		sst_summary_free(&props.s);
		(void)seal(&m, &f.properties, &f.properties_crc);
	}
	(void)seal(&m, &f.top, &f.top_crc);
	(void)sst_footer_encode(&f, footer);
}

/* ---- what is asked ---- */

static void demand_known(int error)
{
	fuzz_demand(!error || error == -ENOENT || error == -EBADMSG || error == -ENOMEM ||
			    error == -EOPNOTSUPP,
		    "an error that the bytes can't account for");
}

static int scan(struct sst *t, unsigned int flags)
{
	struct kv_buf value = { 0 };
	struct lsm_cursor *c;
	uint64_t stamp;
	int n = 0, error;

	fuzz_demand(!sst_cursor(t, flags, &c, NULL), "no cursor");
	while (!(error = lsm_next(c)) && n < 20000) {
		n++;
		if (n % 7 == 0) {
			error = sst_get(t, c->key, lsm_key_hash(c->key),
					lsm_sequence(c->stamp), &stamp, &value, NULL);
			demand_known(error);
		}
	}
	demand_known(error);
	fuzz_demand(!sst_cursor_why(c) == (!error || error == -ENOENT),
		    "an error without a word, or a word without an error");
	while (n-- > 0 && !(error = lsm_prev(c)))
		;
	demand_known(error);
	demand_known(lsm_seek(c, kv_str("user100007"), UINT64_MAX));
	lsm_cursor_close(c);
	kv_buf_free(&value);
	return n;
}

static int drop_line(void *arg, const char *text)
{
	uint32_t *crc = arg;

	*crc = port_crc32c(*crc, text, strlen(text));
	return 0;
}

static int use(struct env *env, struct lsm_cache *cache, unsigned int flags)
{
	const struct sst_config c = { .env = env,
				      .cache = cache,
				      .access =
					      flags & SST_FUZZ_MAP ? SST_MAP : SST_READ };
	struct kv_msg why = { "" };
	struct sst *t = NULL;
	uint32_t crc = 0;
	int error = sst_open(&c, TABLE, 0, NULL, &t, &why), verified;

	fuzz_demand(!error == (t != NULL), "a table in spite of an error, or none");
	fuzz_demand(!error || why.text[0], "an error without a word");
	if (error) {
		fuzz_demand(error == -EBADMSG || error == -EPROTONOSUPPORT ||
				    error == -ENOMEM || error == -EOPNOTSUPP,
			    "an error that the bytes can't account for");
		return error;
	}
	(void)scan(t, 0);
	(void)scan(t, SST_COLD | SST_READAHEAD);
	verified = sst_verify(t, NULL, &why);
	demand_known(verified);
	demand_known(sst_dump(t, true, drop_line, &crc, &why));
	sst_close(t);
	return verified ? 0 : 1;
}

static int run(const uint8_t *data, size_t size)
{
	const struct env_sim_config config = { .seed = 1, .no_journal = true };
	const struct lsm_cache_config small = { .bytes = 64 << 10, .shards = 1 };
	struct env_sim *sim = env_sim_new(&config);
	struct lsm_cache *cache = NULL;
	uint8_t *bytes = fuzz_copy(data + HEAD, size - HEAD);
	int result;

	if (data[0] & SST_FUZZ_MEND)
		mend(bytes, size - HEAD);
	fuzz_write_file(env_sim_env(sim), TABLE, bytes, size - HEAD);
	if (!(data[0] & SST_FUZZ_NO_CACHE))
		fuzz_demand(!lsm_cache_new(&small, &cache), "no cache");
	result = use(env_sim_env(sim), cache, data[0]);
	if (cache)
		lsm_cache_free(cache);
	env_sim_free(sim);
	free(bytes);
	return result;
}

/* ---- seeds ---- */

static void fill(struct sst_builder *b, unsigned int i)
{
	const struct lsm_tombstone range = { kv_str("b"), kv_slice(NULL, 0), 5 };
	unsigned int k, n = i * 12;
	char key[32];

	for (k = 0; k < n; k++) {
		(void)snprintf(key, sizeof(key), "user%06u", 100000 + k / 2);
		fuzz_demand(
			!sst_builder_add(b, kv_str(key), lsm_key_hash(kv_str(key)),
					 lsm_stamp(900 - k % 2, LSM_PUT),
					 kv_slice("aaaaaaaaaaaaaaaaaaaaaaaabbbb", k % 28),
					 NULL),
			"no add");
	}
	if (i % 3 == 0)
		fuzz_demand(!sst_builder_delete_range(b, &range), "no range");
}

static size_t seed(unsigned int i, uint8_t *out)
{
	const struct env_sim_config config = { .seed = 1, .no_journal = true };
	struct env_sim *sim = env_sim_new(&config);
	struct env *env = env_sim_env(sim);
	const struct sst_builder_config c = {
		.env = env,
		.path = TABLE,
		.file = 7,
		.store_id = 9,
		.shape = { .block_bytes = 128 + i % 2 * 200,
			   .partition_bytes = 128,
			   .restart_interval = (uint16_t)(1 + i),
			   .filter_bits = i % 4 == 3 ? 0 : 8,
			   .compression = i % 2 && sst_can_lz4() ? SST_LZ4 : SST_PLAIN },
	};
	struct sst_summary summary;
	struct sst_builder *b;
	struct file *f = NULL;
	size_t got = 0;

	fuzz_demand(!sst_builder_new(&c, &b, NULL), "no builder");
	fill(b, i);
	fuzz_demand(!sst_builder_finish(b, &summary, NULL), "no table");
	fuzz_demand(!env_open(env, TABLE, ENV_READ, &f), "no file");
	fuzz_demand(!file_read(f, 0, out + HEAD, (size_t)summary.bytes, &got), "no read");
	file_close(f);
	sst_summary_free(&summary);
	env_sim_free(sim);
	out[0] = (uint8_t)(SST_FUZZ_MEND | (i % 3 == 1 ? SST_FUZZ_MAP : 0) |
			   (i % 5 == 4 ? SST_FUZZ_NO_CACHE : 0));
	return HEAD + got;
}

const struct fuzz_target fuzz_target = {
	.name = "sst_fuzz",
	.head = HEAD,
	.max = 20000,
	.seeds = 8,
	.seed = seed,
	.run = run,
};
