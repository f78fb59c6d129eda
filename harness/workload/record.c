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

/* Decimal digits of v, at least `least` of them, ending before *end; returns the first. */
static char *decimal_before(char *end, uint64_t v, uint32_t least)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char *p = end;

	while (v >= 100) {
		p -= 2;
		memcpy(p, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		p -= 2;
		memcpy(p, pairs + v * 2, 2);
	} else {
		*--p = (char)('0' + v);
	}
	while ((size_t)(end - p) < least)
		*--p = '0';
	return p;
}

static size_t key_of(const struct workload *w, const char *prefix, uint64_t keynum,
		     char *key)
{
	char digits[RECORD_KEY_MAX], *end = digits + sizeof(digits), *p;
	size_t n;

	p = decimal_before(end, w->ordered_keys ? keynum : ycsb_hash(keynum),
			   w->zero_padding);
	n = (size_t)(end - p);
	memcpy(key, prefix, 4);
	memcpy(key + 4, p, n);
	return n + 4;
}

size_t record_key(const struct workload *w, uint64_t keynum, char *key)
{
	return key_of(w, "user", keynum, key);
}

size_t record_missing_key(const struct workload *w, uint64_t keynum, char *key)
{
	return key_of(w, "uses", keynum, key);
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
	if (w->field_length_distribution == LENGTH_ZIPFIAN) {
		struct zipfian z;

		zipfian_init(&z, range, YCSB_ZIPFIAN_THETA);
		return w->min_field_length +
		       (uint32_t)zipfian_rank(&z, (double)(x >> 11) * 0x1.0p-53);
	}
	return w->min_field_length + (uint32_t)((unsigned __int128)x * range >> 64);
}

/* ---- field contents ---- */

/* Eight bytes of 6 random bits each, from ' ' on: printable, and as compressible as YCSB's. */
static void fill_random(uint8_t *p, size_t n, uint64_t x)
{
	uint64_t word;

	for (; n >= 8; n -= 8, p += 8) {
		x += 0x9e3779b97f4a7c15u;
		word = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
		word = ((word ^ word >> 32) & 0x3f3f3f3f3f3f3f3fu) + 0x2020202020202020u;
		memcpy(p, &word, 8);
	}
	if (n) {
		x += 0x9e3779b97f4a7c15u;
		word = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
		word = ((word ^ word >> 32) & 0x3f3f3f3f3f3f3f3fu) + 0x2020202020202020u;
		memcpy(p, &word, n);
	}
}

struct text { /* a bounded text whose Java String.hashCode() is known as it grows */
	uint8_t *p;
	size_t n, cap;
	uint32_t hash;
};

static void text_add(struct text *t, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		t->hash = t->hash * 31 + (uint8_t)s[i];
		if (t->n < t->cap)
			t->p[t->n] = (uint8_t)s[i];
		t->n++;
	}
}

/* YCSB's buildDeterministicValue(): "key:fieldN" and then hash codes of all before. */
static void fill_checkable(const struct workload *w, uint64_t keynum, uint32_t field,
			   uint8_t *p, size_t n)
{
	struct text t = { .p = p, .cap = n };
	char key[RECORD_KEY_MAX], number[16];

	text_add(&t, key, record_key(w, keynum, key));
	text_add(&t, ":", 1);
	text_add(&t, "field", 5);
	text_add(&t, number, (size_t)snprintf(number, sizeof(number), "%u", field));
	while (t.n < n) {
		text_add(&t, ":", 1);
		text_add(&t, number,
			 (size_t)snprintf(number, sizeof(number), "%d", (int32_t)t.hash));
	}
}

static void fill_field(const struct workload *w, uint64_t keynum, uint64_t version,
		       uint32_t field, uint8_t *p, size_t n)
{
	if (w->data_integrity)
		fill_checkable(w, keynum, field, p, n);
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
	uint8_t stack[1024], *expected = stack;
	int error = 0;

	if (n != w->field_length)
		return -EBADMSG;
	if (n > sizeof(stack))
		expected = port_alloc(n);
	if (!expected)
		return -ENOMEM;
	fill_checkable(w, keynum, field, expected, n);
	if (memcmp(expected, p, n))
		error = -EBADMSG;
	if (expected != stack)
		port_free(expected);
	return error;
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
	return error;
}

uint64_t record_digest(struct kv_slice key, struct kv_slice value)
{
	uint64_t seed = XXH64(key.data, key.len, key.len);

	return XXH64(value.data, value.len, seed);
}
