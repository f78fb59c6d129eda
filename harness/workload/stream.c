/* SPDX-License-Identifier: MIT */
/*
 * stream.c - see stream.h. The order of draws is CoreWorkload's: the kind of operation,
 * then its key, then the length of a scan, then the field.
 */
#include "stream.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "generator.h"

struct stream {
	struct workload w; /* constant */
	uint32_t thread, threads;
	double total; /* of the proportions */

	struct rng rng;
	uint64_t inserted;   /* by this thread */
	uint64_t sequential; /* next of DIST_SEQUENTIAL */
	struct zipfian zipfian, scan_lengths;
	struct zipf zipf;
	uint64_t zipf_step, scrambled_items;
};

/* ---- which keys this thread sees: 0..record_count-1 and those that it inserted ---- */

static uint64_t newest(const struct stream *s)
{
	return s->w.record_count - 1 + s->inserted;
}

/* The i-th key that the thread sees. With one thread that is keynum i. */
static uint64_t seen_keynum(const struct stream *s, uint64_t i)
{
	uint64_t loaded = s->w.record_count;

	return i < loaded ? i : loaded + s->thread + (i - loaded) * s->threads;
}

/* ---- distributions over what is seen ---- */

static uint64_t draw_uniform(struct stream *s)
{
	return s->w.insert_start + rng_below(&s->rng, s->w.insert_count);
}

static uint64_t draw_scrambled(struct stream *s)
{
	uint64_t rank = zipfian_rank(&s->zipfian, rng_double(&s->rng));

	return s->w.insert_start + ycsb_hash(rank) % s->scrambled_items;
}

static uint64_t draw_latest(struct stream *s)
{
	uint64_t max = newest(s);

	/* YCSB draws from `max` ranks, not max + 1: keynum 0 is never asked for. */
	if (!max)
		return 0;
	if (max > s->zipfian.items)
		zipfian_grow(&s->zipfian, max);
	return max - zipfian_rank(&s->zipfian, rng_double(&s->rng));
}

static uint64_t draw_hotspot(struct stream *s)
{
	uint64_t hot = (uint64_t)((double)s->w.insert_count * s->w.hotspot_data_fraction);
	uint64_t cold = s->w.insert_count - hot;
	bool ask_hot = rng_double(&s->rng) < s->w.hotspot_op_fraction;

	if ((ask_hot && hot) || !cold)
		return s->w.insert_start + rng_below(&s->rng, hot);
	return s->w.insert_start + hot + rng_below(&s->rng, cold);
}

static uint64_t draw_exponential(struct stream *s)
{
	double range = (double)s->w.record_count * s->w.exponential_fraction, u;
	uint64_t back;

	do {
		do {
			u = rng_double(&s->rng);
		} while (u == 0);
		back = exponential_draw(s->w.exponential_percentile, range, u);
	} while (back > newest(s));
	return newest(s) - back;
}

static uint64_t draw_zipf(struct stream *s)
{
	return s->w.insert_start +
	       scatter(zipf_rank(&s->zipf, &s->rng), s->zipf_step, s->w.insert_count);
}

static uint64_t draw_sequential(struct stream *s)
{
	return s->w.insert_start + s->sequential++ % s->w.insert_count;
}

static uint64_t draw(struct stream *s)
{
	switch (s->w.request) {
	case DIST_UNIFORM:
		return draw_uniform(s);
	case DIST_YCSB_ZIPFIAN:
		return draw_scrambled(s);
	case DIST_ZIPF:
		return draw_zipf(s);
	case DIST_LATEST:
		return draw_latest(s);
	case DIST_HOTSPOT:
		return draw_hotspot(s);
	case DIST_EXPONENTIAL:
		return draw_exponential(s);
	case DIST_SEQUENTIAL:
		return draw_sequential(s);
	}
	return 0;
}

static uint64_t next_keynum(struct stream *s)
{
	uint64_t i;

	/* The zipfian knows of keys that are yet to be inserted; YCSB draws again. */
	do {
		i = draw(s);
	} while (i > newest(s));
	return seen_keynum(s, i);
}

/* ---- operations ---- */

static enum op_kind next_kind(struct stream *s)
{
	double u = rng_double(&s->rng) * s->total;
	int kind, last = OP_READ;

	for (kind = 0; kind < OP_KINDS; kind++) {
		if (s->w.proportion[kind] <= 0)
			continue;
		last = kind;
		if (u < s->w.proportion[kind])
			return (enum op_kind)kind;
		u -= s->w.proportion[kind];
	}
	return (enum op_kind)last; /* what rounding left over */
}

static uint32_t next_scan_length(struct stream *s)
{
	uint64_t range = (uint64_t)s->w.max_scan_length - s->w.min_scan_length + 1;

	if (s->w.scan_length_distribution == LENGTH_CONSTANT)
		return s->w.max_scan_length;
	if (s->w.scan_length_distribution == LENGTH_ZIPFIAN)
		return s->w.min_scan_length +
		       (uint32_t)zipfian_rank(&s->scan_lengths, rng_double(&s->rng));
	return s->w.min_scan_length + (uint32_t)rng_below(&s->rng, range);
}

static bool wants_field(const struct stream *s, enum op_kind kind)
{
	if (s->w.field_count == 1)
		return false;
	return kind == OP_UPDATE || kind == OP_READ_MODIFY_WRITE
		       ? !s->w.write_all_fields || !s->w.read_all_fields
		       : !s->w.read_all_fields;
}

void stream_next(struct stream *s, struct op *op)
{
	enum op_kind kind = next_kind(s);

	*op = (struct op){ .kind = (uint8_t)kind };
	if (kind == OP_INSERT) {
		s->inserted++;
		op->keynum = seen_keynum(s, newest(s));
		return;
	}
	op->keynum = next_keynum(s);
	if (kind == OP_SCAN)
		op->scan_length = next_scan_length(s);
	if (wants_field(s, kind))
		op->field = (uint16_t)rng_below(&s->rng, s->w.field_count);
}

int stream_open(const struct workload *w, uint64_t seed, uint32_t thread,
		uint32_t threads, struct stream **out)
{
	struct stream *s = port_alloc(sizeof(*s));
	uint64_t expected;
	int i;

	if (!s)
		return -ENOMEM;
	*s = (struct stream){ .w = *w, .thread = thread, .threads = threads };
	rng_seed(&s->rng, seed, thread);
	for (i = 0; i < OP_KINDS; i++)
		s->total += w->proportion[i];
	/* Each thread sees its own inserts only, so it expects its own share. A run by time
	 * has no count: room for as many again as are loaded. */
	expected = w->operation_count
			   ? (uint64_t)((double)w->operation_count / threads *
					w->proportion[OP_INSERT] * 2)
			   : (w->proportion[OP_INSERT] > 0 ? w->record_count : 0);
	s->scrambled_items = w->insert_count + expected + 1;
	if (w->request == DIST_YCSB_ZIPFIAN)
		zipfian_init_scrambled(&s->zipfian);
	else if (w->request == DIST_LATEST)
		zipfian_init(&s->zipfian, newest(s) ? newest(s) : 1, YCSB_ZIPFIAN_THETA);
	else if (w->request == DIST_ZIPF)
		zipf_init(&s->zipf, w->insert_count, w->zipf_theta);
	if (w->request == DIST_ZIPF)
		s->zipf_step = scatter_step(w->insert_count);
	if (w->proportion[OP_SCAN] > 0 && w->scan_length_distribution == LENGTH_ZIPFIAN)
		zipfian_init(&s->scan_lengths,
			     (uint64_t)w->max_scan_length - w->min_scan_length + 1,
			     YCSB_ZIPFIAN_THETA);
	*out = s;
	return 0;
}

void stream_close(struct stream *s)
{
	port_free(s);
}

/* ---- load ---- */

struct sort_key { /* keys are compared as text: digits from the left, shorter first */
	uint64_t aligned, keynum;
	uint32_t digits;
};

struct load_stream {
	uint64_t next, end;      /* keynums, or places in sorted */
	struct sort_key *sorted; /* NULL: in order of keynums */
};

static int compare_sort_key(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;

	if (x->aligned != y->aligned)
		return x->aligned < y->aligned ? -1 : 1;
	return (x->digits > y->digits) - (x->digits < y->digits);
}

static struct sort_key sort_key_of(const struct workload *w, uint64_t keynum)
{
	uint64_t v = w->ordered_keys ? keynum : ycsb_hash(keynum), rest = v;
	struct sort_key k = { .keynum = keynum, .digits = 1 };

	while (rest >= 10) {
		rest /= 10;
		k.digits++;
	}
	if (k.digits < w->zero_padding)
		k.digits = w->zero_padding;
	/* Numbers here are below 2^63 and have 19 digits at most: aligned to the left, their
	 * order is that of the text. With more padding than that all are as long. */
	for (k.aligned = v, rest = k.digits; rest < 19; rest++)
		k.aligned *= 10;
	return k;
}

static int sort_load(const struct workload *w, struct load_stream *s)
{
	uint64_t n = s->end - s->next, i;

	s->sorted = port_alloc((n ? n : 1) * sizeof(*s->sorted));
	if (!s->sorted)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		s->sorted[i] = sort_key_of(w, s->next + i);
	port_sort(s->sorted, n, sizeof(*s->sorted), compare_sort_key);
	s->next = 0;
	s->end = n;
	return 0;
}

int load_stream_open(const struct workload *w, uint32_t thread, uint32_t threads,
		     struct load_stream **out)
{
	struct load_stream *s = port_alloc(sizeof(*s));
	unsigned __int128 n = w->insert_count;
	int error = 0;

	if (!s)
		return -ENOMEM;
	s->next = w->insert_start + (uint64_t)(n * thread / threads);
	s->end = w->insert_start + (uint64_t)(n * (thread + 1u) / threads);
	s->sorted = NULL;
	if (w->sorted_load)
		error = sort_load(w, s);
	if (error)
		load_stream_close(s);
	else
		*out = s;
	return error;
}

bool load_stream_next(struct load_stream *s, uint64_t *keynum)
{
	if (s->next == s->end)
		return false;
	*keynum = s->sorted ? s->sorted[s->next].keynum : s->next;
	s->next++;
	return true;
}

void load_stream_close(struct load_stream *s)
{
	if (!s)
		return;
	port_free(s->sorted);
	port_free(s);
}

/* ---- digest ---- */

static int digest_thread(const struct workload *w, uint64_t seed, uint32_t thread,
			 uint32_t threads, XXH64_state_t *x)
{
	struct stream *s;
	struct op op;
	uint8_t bytes[16];
	uint32_t i;
	int error = stream_open(w, seed, thread, threads, &s);

	for (i = 0; !error && i < STREAM_DIGEST_OPS; i++) {
		stream_next(s, &op);
		port_put_le64(bytes, op.keynum);
		port_put_le32(bytes + 8, op.scan_length);
		port_put_le16(bytes + 12, op.field);
		port_put_le16(bytes + 14, op.kind);
		XXH64_update(x, bytes, sizeof(bytes));
	}
	if (!error)
		stream_close(s);
	return error;
}

int stream_digest(const struct workload *w, uint64_t seed, uint32_t threads,
		  uint64_t *out)
{
	struct kv_buf text = { 0 };
	uint32_t thread;
	XXH64_state_t x;
	int error = workload_print(w, &text);

	XXH64_reset(&x, seed);
	if (!error) {
		XXH64_update(&x, text.data, text.len);
		XXH64_update(&x, &threads, sizeof(threads));
	}
	for (thread = 0; !error && thread < threads; thread++)
		error = digest_thread(w, seed, thread, threads, &x);
	kv_buf_free(&text);
	if (!error)
		*out = XXH64_digest(&x);
	return error;
}
