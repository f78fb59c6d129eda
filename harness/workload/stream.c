/* SPDX-License-Identifier: MIT */
/*
 * stream.c - see stream.h. The order of draws is CoreWorkload's: the kind of operation,
 * then its key, then the length of a scan, then the field.
 */
#include "stream.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "generator.h"

enum { REDRAWS_MAX = 4096 };

struct stream {
	/* constant after open */
	struct workload w;
	uint32_t thread, threads;
	unsigned int kinds; /* how many have a proportion */
	struct {
		double below; /* the kind is drawn by u in [the one before's, this) */
		enum op_kind kind;
	} choice[OP_KINDS];
	uint64_t key_space; /* keynums that the zipfians draw from, beyond insert_start */
	struct modulus modulus;
	struct zipf zipf;
	struct scatter scatter;
	struct zipfian scan_lengths;
	double exponential_mean;

	struct rng rng;
	uint64_t inserted;      /* by this thread */
	uint64_t sequential;    /* next of DIST_SEQUENTIAL */
	struct zipfian zipfian; /* of DIST_LATEST it grows with inserted */
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

static bool is_seen(const struct stream *s, uint64_t keynum)
{
	uint64_t beyond;

	if (keynum < s->w.record_count)
		return true;
	beyond = keynum - s->w.record_count;
	return beyond % s->threads == s->thread && beyond / s->threads < s->inserted;
}

/* ---- keynums, by distribution ---- */

static uint64_t draw_uniform(struct stream *s)
{
	return s->w.insert_start + rng_below(&s->rng, s->w.insert_count);
}

static uint64_t draw_scrambled(struct stream *s)
{
	uint64_t rank = zipfian_rank(&s->zipfian, rng_double(&s->rng));

	return s->w.insert_start + modulus_reduce(&s->modulus, ycsb_hash(rank));
}

static uint64_t draw_zipf(struct stream *s)
{
	return s->w.insert_start + scatter(&s->scatter, zipf_rank(&s->zipf, &s->rng));
}

/* The zipfians know of keys that are yet to be inserted, so that inserts do not change
 * which keys are popular; what is not there is drawn again, as in YCSB. Where nearly
 * everything is still to come that could take very long: then any key that is there. */
static uint64_t draw_seen(struct stream *s, uint64_t (*draw)(struct stream *s))
{
	int tries;

	for (tries = 0; tries < REDRAWS_MAX; tries++) {
		uint64_t keynum = draw(s);

		if (is_seen(s, keynum))
			return keynum;
	}
	return seen_keynum(s, rng_below(&s->rng, newest(s) + 1));
}

static uint64_t draw_latest(struct stream *s)
{
	uint64_t max = newest(s);

	/* YCSB draws from max ranks, not max + 1: keynum 0 is never asked for. */
	if (max > s->zipfian.items)
		zipfian_grow(&s->zipfian, max);
	return seen_keynum(s, max - zipfian_rank(&s->zipfian, rng_double(&s->rng)));
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
	int tries;

	for (tries = 0; tries < REDRAWS_MAX; tries++) {
		uint64_t back =
			exponential_draw(s->exponential_mean, rng_double(&s->rng));

		if (back <= newest(s))
			return seen_keynum(s, newest(s) - back);
	}
	/* A mean this far beyond the keys is as good as uniform over them. */
	return seen_keynum(s, rng_below(&s->rng, newest(s) + 1));
}

/* The threads together go through the keys once before any comes again. */
static uint64_t draw_sequential(struct stream *s)
{
	uint64_t i = s->sequential;

	s->sequential += s->threads;
	return s->w.insert_start + i % s->w.insert_count;
}

static uint64_t next_keynum(struct stream *s)
{
	switch (s->w.request) {
	case DIST_UNIFORM:
		break;
	case DIST_YCSB_ZIPFIAN:
		return draw_seen(s, draw_scrambled);
	case DIST_ZIPF:
		return draw_seen(s, draw_zipf);
	case DIST_LATEST:
		return draw_latest(s);
	case DIST_HOTSPOT:
		return draw_hotspot(s);
	case DIST_EXPONENTIAL:
		return draw_exponential(s);
	case DIST_SEQUENTIAL:
		return draw_sequential(s);
	}
	return draw_uniform(s);
}

/* ---- operations ---- */

static enum op_kind next_kind(struct stream *s)
{
	double u = rng_double(&s->rng);
	unsigned int i;

	for (i = 0; i + 1 < s->kinds && u >= s->choice[i].below; i++)
		;
	return s->choice[i].kind;
}

static uint32_t next_scan_length(struct stream *s)
{
	uint64_t range = (uint64_t)s->w.max_scan_length - s->w.min_scan_length + 1;

	if (s->w.scan_length_distribution == LENGTH_ZIPFIAN)
		return s->w.min_scan_length +
		       (uint32_t)zipfian_rank(&s->scan_lengths, rng_double(&s->rng));
	return s->w.min_scan_length + (uint32_t)rng_below(&s->rng, range);
}

/* A read-modify-write reads the field that it writes: one draw where YCSB has two. */
static bool wants_field(const struct stream *s, enum op_kind kind)
{
	switch (kind) {
	case OP_READ:
	case OP_SCAN:
		return !s->w.read_all_fields;
	case OP_UPDATE:
		return !s->w.write_all_fields;
	case OP_READ_MODIFY_WRITE:
		return !s->w.read_all_fields || !s->w.write_all_fields;
	default:
		return false;
	}
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

/* ---- open and close ---- */

static void prepare_choice(struct stream *s)
{
	double total = 0, below = 0;
	int kind;

	for (kind = 0; kind < OP_KINDS; kind++)
		total += s->w.proportion[kind];
	for (kind = 0; kind < OP_KINDS; kind++) {
		if (s->w.proportion[kind] <= 0)
			continue;
		below += s->w.proportion[kind] / total;
		s->choice[s->kinds].below = below;
		s->choice[s->kinds++].kind = (enum op_kind)kind;
	}
}

/* The inserts that CoreWorkload reckons with: twice what the proportion says. A run by time
 * has no count: then as many again as are loaded. */
static uint64_t expected_inserts(const struct workload *w)
{
	double n = (double)w->operation_count * w->proportion[OP_INSERT] * 2;

	if (w->proportion[OP_INSERT] <= 0)
		return 0;
	if (!w->operation_count)
		return w->record_count;
	return n < 0x1.0p60 ? (uint64_t)n : (uint64_t)1 << 60;
}

static void prepare_keys(struct stream *s)
{
	const struct workload *w = &s->w;

	s->key_space = w->insert_count + expected_inserts(w);
	s->sequential = s->thread;
	switch (w->request) {
	case DIST_YCSB_ZIPFIAN:
		/* CoreWorkload takes an inclusive bound for an exclusive one. */
		s->modulus = modulus_of(s->key_space + 1);
		zipfian_init_scrambled(&s->zipfian);
		break;
	case DIST_ZIPF:
		s->scatter = scatter_of(s->key_space);
		zipf_init(&s->zipf, s->key_space, w->zipf_theta);
		break;
	case DIST_LATEST:
		zipfian_init(&s->zipfian, w->record_count - 1, YCSB_ZIPFIAN_THETA);
		break;
	case DIST_EXPONENTIAL:
		s->exponential_mean = exponential_mean(w->exponential_percentile,
						       (double)w->record_count *
							       w->exponential_fraction);
		break;
	default:
		break;
	}
}

int stream_open(const struct workload *w, uint64_t seed, uint32_t thread,
		uint32_t threads, struct stream **out)
{
	struct stream *s;

	if (thread >= threads || !w->record_count || !w->insert_count)
		return -EINVAL;
	s = port_alloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stream){ .w = *w, .thread = thread, .threads = threads };
	rng_seed(&s->rng, seed, thread);
	prepare_choice(s);
	prepare_keys(s);
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

struct sort_key {
	uint64_t text, keynum;
};

struct load_stream {
	uint64_t next, end;      /* keynums, or places in sorted */
	struct sort_key *sorted; /* NULL: in order of keynums */
};

static unsigned int digits_of(uint64_t v)
{
	unsigned int n = 1;

	for (; v >= 10; v /= 10)
		n++;
	return n;
}

/* Keys differ in their digits only, of which there are 19 at most, or all have the same
 * number of them. Moved to the left, so that the first digits meet, numbers are ordered as
 * text is, but for "12" and "120" which look alike: sort_tie() tells these apart. */
static struct sort_key sort_key_of(const struct workload *w, uint64_t keynum)
{
	uint64_t v = w->ordered_keys ? keynum : ycsb_hash(keynum);
	unsigned int n = digits_of(v);
	struct sort_key k = { v, keynum };

	for (n = n > w->zero_padding ? n : w->zero_padding; n < 19; n++)
		k.text *= 10;
	return k;
}

/* Both texts begin alike and one has zeros more: it is later, and the larger number. */
static bool sort_tie(const struct workload *w, uint64_t a, uint64_t b)
{
	return w->ordered_keys ? a < b : ycsb_hash(a) < ycsb_hash(b);
}

static bool sort_less(const struct workload *w, const struct sort_key *a,
		      const struct sort_key *b)
{
	if (a->text != b->text)
		return a->text < b->text;
	return sort_tie(w, a->keynum, b->keynum);
}

static void sort_by_insertion(const struct workload *w, struct sort_key *k, uint64_t n)
{
	uint64_t i, j;

	for (i = 1; i < n; i++) {
		struct sort_key moved = k[i];

		for (j = i; j && sort_less(w, &moved, &k[j - 1]); j--)
			k[j] = k[j - 1];
		k[j] = moved;
	}
}

/* In place by the byte at shift, then within each of the 256 parts by the byte below:
 * American flag sort (McIlroy, Bostic and McIlroy 1993). qsort() would need the memory
 * twice, and a load of ten million keys is to leave some for the store. */
static void sort_by_bytes(const struct workload *w, struct sort_key *k, uint64_t n,
			  unsigned int shift)
{
	uint64_t begin[256], end[256], at = 0, i;
	unsigned int part;

	if (n <= 32) {
		sort_by_insertion(w, k, n);
		return;
	}
	memset(end, 0, sizeof(end));
	for (i = 0; i < n; i++)
		end[k[i].text >> shift & 0xff]++;
	for (part = 0; part < 256; part++) {
		begin[part] = at;
		at += end[part];
		end[part] = at;
	}
	for (part = 0; part < 256; part++) {
		while (begin[part] < end[part]) {
			struct sort_key *from = &k[begin[part]], moved = *from;
			unsigned int home = moved.text >> shift & 0xff;

			*from = k[begin[home]];
			k[begin[home]++] = moved;
		}
	}
	for (part = 0, at = 0; part < 256; at = end[part++]) {
		if (end[part] - at < 2)
			continue;
		if (shift)
			sort_by_bytes(w, k + at, end[part] - at, shift - 8);
		else
			sort_by_insertion(w, k + at, end[part] - at);
	}
}

static int sort_load(const struct workload *w, struct load_stream *s)
{
	uint64_t n = s->end - s->next, i;

	if (n > SIZE_MAX / sizeof(*s->sorted))
		return -ENOMEM;
	s->sorted = port_alloc(n * sizeof(*s->sorted));
	if (!s->sorted)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		s->sorted[i] = sort_key_of(w, s->next + i);
	sort_by_bytes(w, s->sorted, n, 56);
	s->next = 0;
	s->end = n;
	return 0;
}

int load_stream_open(const struct workload *w, uint32_t thread, uint32_t threads,
		     struct load_stream **out)
{
	unsigned __int128 n = w->insert_count;
	struct load_stream *s;
	int error = 0;

	if (thread >= threads)
		return -EINVAL;
	s = port_alloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->next = w->insert_start + (uint64_t)(n * thread / threads);
	s->end = w->insert_start + (uint64_t)(n * (thread + 1ull) / threads);
	s->sorted = NULL;
	/* Keys of one length are in the order of their numbers already. */
	if (w->sorted_load && s->end > s->next &&
	    !(w->ordered_keys && w->zero_padding >= digits_of(s->end - 1)))
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
	uint8_t count[4];
	uint32_t thread;
	XXH64_state_t x;
	int error = workload_print(w, &text);

	port_put_le32(count, threads);

	XXH64_reset(&x, seed);
	if (!error) {
		XXH64_update(&x, text.data, text.len);
		XXH64_update(&x, count, sizeof(count));
	}
	for (thread = 0; !error && thread < threads; thread++)
		error = digest_thread(w, seed, thread, threads, &x);
	kv_buf_free(&text);
	if (!error)
		*out = XXH64_digest(&x);
	return error;
}
