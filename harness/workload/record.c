/* SPDX-License-Identifier: MIT */
/*
 * record.c - see record.h. On the harness's hot path: each operation makes a key, each
 * write a value, each read sums one.
 */
#include "record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "generator.h"

/* ---- keys ---- */

enum { DIGITS = 24 }; /* three groups of eight hold any 64-bit number */

static void eight_digits(char *p, uint32_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	uint32_t high = v / 10000, low = v % 10000;

	memcpy(p, pairs + high / 100 * 2, 2);
	memcpy(p + 2, pairs + high % 100 * 2, 2);
	memcpy(p + 4, pairs + low / 100 * 2, 2);
	memcpy(p + 6, pairs + low % 100 * 2, 2);
}

/* v with zeros in front; returns how many of the digits count. */
static unsigned int decimal(char text[DIGITS], uint64_t v)
{
	static const uint64_t power[] = {
		0,
		10ull,
		100ull,
		1000ull,
		10000ull,
		100000ull,
		1000000ull,
		10000000ull,
		100000000ull,
		1000000000ull,
		10000000000ull,
		100000000000ull,
		1000000000000ull,
		10000000000000ull,
		100000000000000ull,
		1000000000000000ull,
		10000000000000000ull,
		100000000000000000ull,
		1000000000000000000ull,
		10000000000000000000ull,
	};
	uint64_t high = v / 100000000;
	/* bits * log10(2), rounded down; one more if v has reached the next power of ten */
	unsigned int guess = (64 - (unsigned int)__builtin_clzll(v | 1)) * 1233 >> 12;

	eight_digits(text, (uint32_t)(high / 100000000));
	eight_digits(text + 8, (uint32_t)(high % 100000000));
	eight_digits(text + 16, (uint32_t)(v % 100000000));
	return guess + (v >= power[guess]);
}

size_t record_key(const struct workload *w, uint64_t keynum, char *key)
{
	/* Room behind the digits, so that a copy of constant length reads no further. */
	char text[2 * DIGITS] = { 0 };
	unsigned int n = decimal(text, w->ordered_keys ? keynum : ycsb_hash(keynum));
	unsigned int zeros = w->zero_padding > n ? w->zero_padding - n : 0;

	memcpy(key, "user", 4);
	if (zeros)
		memset(key + 4, '0', zeros);
	memcpy(key + 4 + zeros, text + DIGITS - n, DIGITS);
	return 4 + (size_t)zeros + n;
}

size_t record_missing_key(const struct workload *w, uint64_t keynum, char *key)
{
	size_t n = record_key(w, keynum, key);

	/* No key ends in a letter, and this one lies right among those that are there. */
	key[n - 1] = (char)(key[n - 1] - '0' + 'a');
	return n;
}

/* ---- field lengths ---- */

static uint64_t mix(uint64_t keynum, uint64_t version, uint32_t field)
{
	uint64_t x = keynum * 0x9e3779b97f4a7c15u ^ version * 0xbf58476d1ce4e5b9u ^
		     (uint64_t)field * 0x94d049bb133111ebu;

	x = (x ^ x >> 31) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static uint32_t field_length(const struct workload *w, uint64_t keynum, uint64_t version,
			     uint32_t field)
{
	uint64_t range = (uint64_t)w->field_length - w->min_field_length + 1, x;

	if (w->field_length_distribution == LENGTH_CONSTANT)
		return w->field_length;
	x = mix(keynum ^ 0x5bd1e995, version, field);
	if (w->field_length_distribution == LENGTH_ZIPFIAN)
		return w->min_field_length +
		       (uint32_t)zipfian_rank(&w->field_lengths, rng_unit(x));
	return w->min_field_length + (uint32_t)((unsigned __int128)x * range >> 64);
}

/* ---- field contents ---- */

/* The next eight bytes of a sequence, 6 random bits each, from ' ' on. */
static uint64_t printable(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
	return ((x ^ x >> 32) & 0x3f3f3f3f3f3f3f3fu) + 0x2020202020202020u;
}

static void fill_random(uint8_t *p, size_t n, uint64_t state)
{
	for (; n >= 8; n -= 8, p += 8)
		port_put_le64(p, printable(&state));
	if (n) {
		uint8_t last[8];

		port_put_le64(last, printable(&state));
		memcpy(p, last, n);
	}
}

/* A text that grows and knows its Java String.hashCode(). The first cap bytes are written
 * to `to` or, where that is NULL, compared with `as`. */
struct text {
	uint8_t *to;
	const uint8_t *as;
	size_t n, cap;
	uint32_t hash;
	bool differs;
};

static void text_add(struct text *t, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, t->n++) {
		t->hash = t->hash * 31 + (uint8_t)s[i];
		if (t->n >= t->cap)
			continue;
		if (t->to)
			t->to[t->n] = (uint8_t)s[i];
		else if (t->as[t->n] != (uint8_t)s[i])
			t->differs = true;
	}
}

static void text_add_number(struct text *t, uint64_t v)
{
	char text[DIGITS];
	unsigned int n = decimal(text, v);

	text_add(t, text + DIGITS - n, n);
}

/* YCSB's buildDeterministicValue(): "key:fieldN", then again and again ':' and the hash
 * code of all that stands before, that ':' included, cut to the field's length. */
static void text_checkable(const struct workload *w, uint64_t keynum, uint32_t field,
			   struct text *t)
{
	char key[RECORD_KEY_MAX];

	text_add(t, key, record_key(w, keynum, key));
	text_add(t, ":", 1);
	text_add(t, w->field_name_prefix, strlen(w->field_name_prefix));
	text_add_number(t, field);
	while (t->n < t->cap && !t->differs) {
		int64_t hash;

		text_add(t, ":", 1);
		hash = (int32_t)t->hash;
		if (hash < 0)
			text_add(t, "-", 1);
		text_add_number(t, (uint64_t)(hash < 0 ? -hash : hash));
	}
}

static void fill_field(const struct workload *w, uint64_t keynum, uint64_t version,
		       uint32_t field, uint8_t *p, size_t n)
{
	struct text t = { .to = p, .cap = n };

	if (w->data_integrity)
		text_checkable(w, keynum, field, &t);
	else
		fill_random(p, n, mix(keynum, version, field));
}

/* ---- records ---- */

static int append_field(const struct workload *w, uint64_t keynum, uint64_t version,
			uint32_t field, struct kv_buf *out)
{
	uint32_t n = field_length(w, keynum, version, field);
	int error = kv_buf_reserve(out, out->len + 4 + n);
	uint8_t *p;

	if (error)
		return error;
	p = (uint8_t *)out->data + out->len;
	if (w->field_count > 1) {
		port_put_le32(p, n);
		p += 4;
		out->len += 4;
	}
	fill_field(w, keynum, version, field, p, n);
	out->len += n;
	return 0;
}

int record_value(const struct workload *w, uint64_t keynum, uint64_t version,
		 struct kv_buf *out)
{
	uint32_t field;
	int error = 0;

	out->len = 0;
	for (field = 0; !error && field < w->field_count; field++)
		error = append_field(w, keynum, version, field, out);
	return error;
}

int record_value_of_versions(const struct workload *w, uint64_t keynum,
			     const uint64_t *version, struct kv_buf *out)
{
	uint32_t field;
	int error = 0;

	out->len = 0;
	for (field = 0; !error && field < w->field_count; field++)
		error = append_field(w, keynum, version[field], field, out);
	return error;
}

/* Where a field's bytes lie in a record of several fields. */
static int find_field(struct kv_slice record, uint32_t field, size_t *offset,
		      uint32_t *len)
{
	const uint8_t *p = record.data;
	size_t at = 0;
	uint32_t i;

	for (i = 0;; i++) {
		if (record.len - at < 4)
			return -EBADMSG;
		*len = port_get_le32(p + at);
		at += 4;
		if (*len > record.len - at)
			return -EBADMSG;
		if (i == field)
			break;
		at += *len;
	}
	*offset = at;
	return 0;
}

int record_update_field(const struct workload *w, uint64_t keynum, uint64_t version,
			uint32_t field, struct kv_buf *record)
{
	uint32_t old, n = field_length(w, keynum, version, field);
	size_t offset, behind;
	uint8_t *p;
	int error;

	if (w->field_count == 1)
		return record_value(w, keynum, version, record);
	error = find_field(kv_slice(record->data, record->len), field, &offset, &old);
	if (!error)
		error = kv_buf_reserve(record, record->len + n);
	if (error)
		return error;
	p = (uint8_t *)record->data + offset;
	behind = record->len - offset - old;
	memmove(p + n, p + old, behind);
	port_put_le32(p - 4, n);
	fill_field(w, keynum, version, field, p, n);
	record->len = offset + n + behind;
	return 0;
}

/* ---- reading ---- */

static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
	uint64_t sum = 0, word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		sum += word;
	}
	for (; n; n--)
		sum += *p++;
	return sum;
}

static int check_field(const struct workload *w, uint64_t keynum, uint32_t field,
		       const uint8_t *p, size_t n)
{
	struct text t = { .as = p, .cap = n };

	if (n != w->field_length)
		return -EBADMSG;
	text_checkable(w, keynum, field, &t);
	return t.differs ? -EBADMSG : 0;
}

static int touch_field(const struct workload *w, uint64_t keynum, uint32_t field,
		       const uint8_t *p, size_t n, uint64_t *sum)
{
	*sum += sum_bytes(p, n);
	return w->data_integrity ? check_field(w, keynum, field, p, n) : 0;
}

int record_touch(const struct workload *w, uint64_t keynum, uint32_t field,
		 struct kv_slice value, uint64_t *sum)
{
	const uint8_t *p = value.data;
	size_t offset = 0;
	uint32_t len = 0, i;
	int error = 0;

	if (w->field_count == 1)
		return touch_field(w, keynum, 0, p, value.len, sum);
	if (!w->read_all_fields) {
		error = find_field(value, field, &offset, &len);
		return error ? error
			     : touch_field(w, keynum, field, p + offset, len, sum);
	}
	for (i = 0; !error && i < w->field_count; i++) {
		struct kv_slice rest = kv_slice(p + offset, value.len - offset);
		size_t at;

		error = find_field(rest, 0, &at, &len);
		if (!error)
			error = touch_field(w, keynum, i, p + offset + at, len, sum);
		offset += 4 + (size_t)len;
	}
	return !error && offset != value.len ? -EBADMSG : error;
}

uint64_t record_sum(struct kv_slice value)
{
	return sum_bytes(value.data, value.len);
}

uint64_t record_digest(struct kv_slice key, struct kv_slice value)
{
	uint64_t seed = XXH64(key.data, key.len, key.len);

	return XXH64(value.data, value.len, seed);
}
