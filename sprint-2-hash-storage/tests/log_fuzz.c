/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fuzz.c - the log's reader as a fuzz target (fuzz.h): whatever stands in the files,
 * opening a log ends with a log or an error, reads nothing that is not there, and a log
 * that was opened once opens again with the same records and what was appended since.
 *
 * An input is a head and the bytes of one or two segment files:
 *
 *   0   1   enum log_fuzz_flags
 *   1   2   where to open, / 8
 *   3   1   the first file's share of the bytes, in 256ths, where there are two
 *   4       the bytes
 */
#include "log_fuzz.h"
#include "../log_format.h"
#include "env_sim.h"

enum { SEGMENT = 64 << 10, RECORDS_MAX = 8192 };

#define STORE_ID 0x5eed5eed5eed5eedull

/* ---- the input becomes files ---- */

static void write_segment(struct env *env, uint8_t *p, size_t size, uint64_t number,
			  unsigned int flags)
{
	char path[64];

	if (flags & FUZZ_MEND_HEADERS)
		fuzz_mend_segment_header(p, size, STORE_ID, number, SEGMENT);
	if (flags & FUZZ_MEND_RECORDS)
		fuzz_mend_records(p, size, STORE_ID, number);
	(void)snprintf(path, sizeof(path), "log/%012llx.log", (unsigned long long)number);
	fuzz_write_file(env, path, p, size);
}

/* ---- what is done to it ---- */

struct seen {
	uint64_t position[RECORDS_MAX];
	size_t n;
	uint32_t crc; /* of all that was given, so that all of it is looked at */
};

static int see(void *arg, const struct log_record *r)
{
	struct seen *s = arg;

	s->crc = port_crc32c(s->crc, r->payload.data, r->payload.len);
	s->crc = port_crc32c(s->crc, &r->sequence, sizeof(r->sequence));
	fuzz_demand(r->position % LOG_ALIGN == 0 && r->end > r->position,
		    "a bad position");
	if (s->n < RECORDS_MAX)
		s->position[s->n] = r->position;
	s->n++;
	return 0;
}

static int take_number(void *arg, const struct log_segment *seg)
{
	uint64_t *number = arg;

	if (seg->number < 4)
		number[seg->number] = seg->number + 1;
	return 0;
}

static void look_around(struct log *log, const struct seen *s)
{
	uint64_t number[4] = { 0 };
	struct kv_buf buf = { 0 };
	struct log_record r;
	struct seen *again = calloc(1, sizeof(*again));
	size_t i;

	fuzz_demand(again, "no memory");
	for (i = 0; i < s->n && i < RECORDS_MAX; i++) {
		(void)log_read(log, s->position[i], true, &buf, &r, NULL);
		(void)log_read(log, s->position[i] + i % 5 * LOG_ALIGN, false, &buf, &r,
			       NULL);
	}
	(void)log_segments(log, take_number, number);
	for (i = 0; i < 4; i++)
		if (number[i])
			(void)log_scan(log, number[i] - 1, see, again, NULL);
	kv_buf_free(&buf);
	free(again);
}

static int open_log(struct env *env, unsigned int flags, uint64_t from, struct seen *s,
		    struct log **log)
{
	const struct log_config c = { .env = env,
				      .dir = "log",
				      .store_id = STORE_ID,
				      .segment_bytes = SEGMENT,
				      .map = !(flags & FUZZ_NO_MAP),
				      .group_ns = 1000000 };
	struct log_recovery found;
	struct kv_msg why = { "" };
	int error;

	s->n = s->crc = 0;
	error = log_open(&c, from, see, s, &found, log, &why);
	fuzz_demand(!error == (*log != NULL),
		    "a log in spite of an error, or none without");
	fuzz_demand(!error || error == -EBADMSG || error == -EPROTONOSUPPORT ||
			    error == -EFBIG,
		    "an error that the bytes can't account for");
	fuzz_demand(!error || why.text[0], "an error without a word");
	return error;
}

static int use_log(struct env *env, unsigned int flags, uint64_t from)
{
	struct seen *s = calloc(2, sizeof(*s));
	const struct kv_slice part = kv_str("appended");
	struct log_item item = { .sequence = LOG_SEQUENCE_POSITION,
				 .part = &part,
				 .parts = 1 };
	struct log *log = NULL;
	int result;

	fuzz_demand(s, "no memory");
	result = open_log(env, flags, from, &s[0], &log);
	if (result)
		goto out;
	result = (int)s[0].n;
	look_around(log, &s[0]);
	fuzz_demand(!log_append(log, &item, 1, 0), "no append");
	fuzz_demand(!log_sync(log, item.position), "no sync");
	fuzz_demand(!log_close(log), "no close");
	log = NULL;
	fuzz_demand(!open_log(env, flags, from, &s[1], &log), "it does not open again");
	fuzz_demand(s[1].n == s[0].n + 1, "records came or went");
	fuzz_demand(!memcmp(s[0].position, s[1].position,
			    (s[0].n < RECORDS_MAX ? s[0].n : RECORDS_MAX) *
				    sizeof(s[0].position[0])),
		    "records moved");
	fuzz_demand(!log_close(log), "no close");
out:
	free(s);
	return result;
}

static int run(const uint8_t *data, size_t size)
{
	const struct env_sim_config config = { .seed = 1, .no_journal = true };
	struct env_sim *sim = env_sim_new(&config);
	struct env *env = env_sim_env(sim);
	unsigned int flags = data[0];
	size_t n = size - LOG_FUZZ_HEAD;
	size_t first = flags & FUZZ_TWO_FILES ? n * data[3] / 256 : n;
	uint8_t *bytes = fuzz_copy(data + LOG_FUZZ_HEAD, n);
	int result;

	fuzz_demand(!env->ops->mkdir(env, "log"), "no directory");
	write_segment(env, bytes, first, 0, flags);
	if (flags & FUZZ_TWO_FILES)
		write_segment(env, bytes + first, n - first, 1, flags);
	result = use_log(env, flags,
			 flags & FUZZ_FROM ? port_get_le16(data + 1) * (uint64_t)LOG_ALIGN
					   : 0);
	env_sim_free(sim);
	free(bytes);
	return result;
}

/* ---- seeds ---- */

static void append(struct log *log, uint64_t i, size_t len, size_t group)
{
	static uint8_t bytes[SEGMENT];
	struct kv_slice part[4];
	struct log_item item[4];
	size_t j;

	for (j = 0; j < len; j++)
		bytes[j] = (uint8_t)(i * 31 + j * 7);
	for (j = 0; j < group; j++) {
		part[j] = kv_slice(bytes, len + j);
		item[j] = (struct log_item){
			.type = (unsigned int)(i % 3),
			.sequence = j % 2 ? i : LOG_SEQUENCE_POSITION,
			.part = &part[j],
			.parts = 1,
		};
	}
	fuzz_demand(!log_append(log, item, group, 0), "no append");
}

/* What the i-th seed's log holds. */
static void fill(struct log *log, unsigned int i)
{
	uint64_t k;

	for (k = 0; k < 6; k++) {
		append(log, k, k * 11 % 50, i % 2 ? 1 + k % 4 : 1);
		if (i % 3 == 1)
			fuzz_demand(!log_sync(log, log_end(log) - 1), "no sync");
	}
	if (i >= 6)
		append(log, 9, SEGMENT - 700, 1);
	if (i >= 8)
		append(log, 10, 100, 3);
}

static size_t take_file(struct env *env, const char *path, uint8_t *out, size_t room)
{
	struct file *f = NULL;
	size_t got = 0;

	if (env_open(env, path, ENV_READ, &f))
		return 0;
	fuzz_demand(!file_read(f, 0, out, room, &got), "no read");
	file_close(f);
	return got;
}

/* Odd ones were closed, even ones not: there a segment's empty rest is left out. */
static size_t seed(unsigned int i, uint8_t *out)
{
	const struct env_sim_config config = { .seed = i + 1, .no_journal = true };
	struct env_sim *sim = env_sim_new(&config);
	struct env *env = env_sim_env(sim);
	const struct log_config c = { .env = env,
				      .dir = "log",
				      .store_id = STORE_ID,
				      .segment_bytes = SEGMENT,
				      .map = true };
	struct log *log = NULL;
	size_t used, one = 0, two = 0;

	fuzz_demand(!env->ops->mkdir(env, "log"), "no directory");
	fuzz_demand(!log_create(&c, &log, NULL), "no log");
	fill(log, i);
	used = (size_t)(log_end(log) % SEGMENT) + 64;
	if (i % 2) {
		fuzz_demand(!log_close(log), "no close");
		log = NULL;
	}
	one = take_file(env, "log/000000000000.log", out + LOG_FUZZ_HEAD, SEGMENT);
	if (i >= 6 && one == SEGMENT)
		two = take_file(env, "log/000000000001.log", out + LOG_FUZZ_HEAD + one,
				SEGMENT);
	if (two && two > used)
		two = used;
	else if (!two && one > used)
		one = used;
	if (log)
		fuzz_demand(!log_close(log), "no close");
	env_sim_free(sim);
	out[0] = (uint8_t)((i % 4 < 2 ? FUZZ_MEND_HEADERS | FUZZ_MEND_RECORDS : 0) |
			   (two ? FUZZ_TWO_FILES : 0) | (i % 5 == 4 ? FUZZ_NO_MAP : 0) |
			   (i == 3 ? FUZZ_FROM : 0));
	port_put_le16(out + 1, LOG_SEGMENT_HEADER_BYTES / LOG_ALIGN);
	out[3] = two ? (uint8_t)((one * 256 + one + two - 1) / (one + two)) : 0;
	return LOG_FUZZ_HEAD + one + two;
}

const struct fuzz_target fuzz_target = {
	.name = "log_fuzz",
	.head = LOG_FUZZ_HEAD,
	.max = 160 << 10,
	.seeds = 10,
	.seed = seed,
	.run = run,
};
