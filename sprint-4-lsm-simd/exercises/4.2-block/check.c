/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 4.2: a block.
 */
#include "../../../harness/learn/learn.h"
#include "../../neon_lsm_ops.h"
#include "../../sst_block.h"

#define CHAPTER "docs/sprint-4-lsm-simd.md, \"On disk: a sorted table\""
#define HEADER  "sprint-4-lsm-simd/sst_block.h"

enum { ROOM = 1 << 16, ENTRIES = 200 };

struct item {
	const char *key;
	uint64_t sequence;
	enum lsm_kind kind;
	const char *value;
};

/* ---- what the learner's builder makes ---- */

static uint8_t block[ROOM];
static size_t block_bytes;

static void add(struct sst_block_builder *b, struct kv_slice last, const struct item *i)
{
	const struct kv_slice key = kv_str(i->key);

	learn_error("sst_block_builder_add()",
		    sst_block_builder_add(b, key, lsm_key_shared(last, key),
					  lsm_stamp(i->sequence, i->kind),
					  kv_str(i->value)),
		    0);
}

static void build(const struct item *item, size_t n, unsigned int interval)
{
	struct sst_block_builder b;
	struct kv_slice last = kv_slice(NULL, 0);
	size_t i, bound;

	sst_block_builder_init(&b, interval);
	for (i = 0; i < n; i++) {
		add(&b, last, &item[i]);
		last = kv_str(item[i].key);
	}
	bound = b.bound;
	memset(block, 0xa5, sizeof(block));
	block_bytes = sst_block_builder_finish(&b, block);
	learn_expect(block_bytes <= bound, "no more bytes than b->bound",
		     "%zu, and the bound is %zu", block_bytes, bound);
	learn_number("the byte behind the block, which is not the builder's",
		     block[block_bytes], 0xa5);
	sst_block_builder_free(&b);
}

static void expect_block(const uint8_t *want, size_t n)
{
	learn_number("the length of the block", block_bytes, n);
	learn_bytes("the block", block, want, n);
}

static void test_bytes_of_one_entry(void **state)
{
	static const struct item one[] = { { "key", 7, LSM_PUT, "value" } };
	static const uint8_t want[] = {
		1,   0,   0,   0,   1,   0, 0, 0, 7, 0,   0,
		0,   0,   0,   0,   0,   3, 0, 0, 0, 'k', 'e',
		'y', 0,   0,   0,   0,   0, 0, 0, 0, 0,   5 << 2 | LSM_PUT,
		'v', 'a', 'l', 'u', 'e',
	};

	(void)state;
	build(one, 1, 16);
	expect_block(want, sizeof(want));
}

static void test_bytes_of_shared_keys(void **state)
{
	static const struct item items[] = {
		{ "user1", 100, LSM_PUT, "a" },
		{ "user12", 104, LSM_PUT, "b" },
		{ "user2", 101, LSM_DELETE, "" },
	};
	static const uint8_t want[] = {
		3,
		0,
		0,
		0,
		1,
		0,
		0,
		0,
		100,
		0,
		0,
		0,
		0,
		0,
		0,
		1,
		4,
		0,
		0,
		0,
		'u',
		's',
		'e',
		'r',
		0,
		0,
		0,
		'1', /* the head, as a number */
		0,
		0,
		0,
		0,
		1 << 3 | 0,
		1 << 2 | LSM_PUT,
		0,
		'1',
		'a',
		1 << 3 | 1,
		1 << 2 | LSM_PUT,
		4,
		'2',
		'b',
		1 << 3 | 0,
		0 << 2 | LSM_DELETE,
		1,
		'2',
	};

	(void)state;
	build(items, 3, 16);
	expect_block(want, sizeof(want));
}

static void test_nothing_is_shared_at_a_restart_point(void **state)
{
	static const struct item items[] = {
		{ "aa1", 1, LSM_PUT, "" }, { "aa2", 1, LSM_PUT, "" },
		{ "ab1", 1, LSM_PUT, "" }, { "ab2", 1, LSM_PUT, "" },
		{ "ab3", 1, LSM_PUT, "" },
	};
	static const uint8_t want[] = {
		5,          0,       0,   0,          3,       0,   0,
		0,          1,       0,   0,          0,       0,   0,
		0,          0,       1,   0,          0,       0,   'a',
		0,          0,       '1', 'a',        0,       0,   '1',
		'b',        0,       0,   '3',        'b',     0,   0,
		0,          0,       7,   0,          0,       0,   14,
		0,          0,       0,   2 << 3 | 0, LSM_PUT, 'a', '1',
		1 << 3 | 1, LSM_PUT, '2', 2 << 3 | 0, LSM_PUT, 'b', '1',
		1 << 3 | 1, LSM_PUT, '2', 2 << 3 | 0, LSM_PUT, 'b', '3',
	};

	(void)state;
	build(items, 5, 2);
	expect_block(want, sizeof(want));
}

static void test_sequences_of_all_widths(void **state)
{
	static const uint64_t span[] = { 0,     1,          255,        256, 65535,
					 65536, 1ull << 32, 1ull << 48, 9,   1ull << 55 };
	static const unsigned int width[] = { 0, 1, 1, 2, 2, 3, 5, 7, 1, 7 };
	struct sst_walk w = { 0 };
	struct sst_block b;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(span) / sizeof(*span); i++) {
		const struct item items[] = { { "a", 1000 + span[i], LSM_PUT, "x" },
					      { "b", 1000, LSM_PUT, "y" } };

		build(items, 2, 16);
		learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes),
			    0);
		learn_number(learn_text("the bytes a sequence where they span %llu",
					(unsigned long long)span[i]),
			     b.width, width[i]);
		sst_walk_begin(&w, &b);
		learn_error("walking onto the first entry", sst_walk_first(&w), 0);
		learn_number("its sequence", lsm_sequence(w.e.stamp), 1000 + span[i]);
	}
	sst_walk_free(&w);
}

/* Lengths that need a varint, keys and values of many sizes. */
static void test_every_entry_is_walked(void **state)
{
	static const size_t length[] = {
		0, 1, 6, 7, 8, 39, 70, 101, 140, 299, 600, 1000
	};
	const size_t n = sizeof(length) / sizeof(*length);
	static char text[1001];
	static uint8_t big[ROOM];
	struct sst_block_builder builder;
	struct sst_walk w = { 0 };
	struct sst_block b;
	size_t i;

	(void)state;
	memset(text, 'k', sizeof(text));
	sst_block_builder_init(&builder, 5);
	for (i = 0; i < n; i++)
		learn_error("sst_block_builder_add()",
			    sst_block_builder_add(&builder, kv_slice(text, length[i]),
						  i ? length[i - 1] : 0,
						  lsm_stamp(50 + i, LSM_PUT),
						  kv_slice(text, length[n - 1 - i])),
			    0);
	block_bytes = sst_block_builder_finish(&builder, big);
	learn_error("sst_block_open()", sst_block_open(&b, big, block_bytes), 0);
	sst_walk_begin(&w, &b);
	for (i = 0; i < n; i++) {
		learn_error(learn_text("walking onto entry %zu", i), sst_walk_next(&w),
			    0);
		learn_number(learn_text("the length of key %zu", i), w.key.len,
			     length[i]);
		learn_bytes(learn_text("key %zu", i), w.key.data, text, length[i]);
		learn_number(learn_text("the length of value %zu", i), w.e.value.len,
			     length[n - 1 - i]);
	}
	learn_error("walking on from the last one", sst_walk_next(&w), -ENOENT);
	sst_walk_free(&w);
	sst_block_builder_free(&builder);
}

static void test_builder_is_empty_after_finish(void **state)
{
	static const struct item items[] = { { "a", 500, LSM_PUT, "x" },
					     { "key", 7, LSM_PUT, "value" } };
	struct sst_block_builder b;
	size_t n;

	(void)state;
	sst_block_builder_init(&b, 16);
	add(&b, kv_slice(NULL, 0), &items[0]);
	(void)sst_block_builder_finish(&b, block);
	learn_number("b->count after finishing", b.count, 0);
	learn_number("b->bytes.len after finishing", b.bytes.len, 0);
	learn_number("b->bound after finishing", b.bound, SST_BLOCK_HEADER);
	learn_number("b->estimate after finishing", b.estimate, SST_BLOCK_HEADER);
	add(&b, kv_slice(NULL, 0), &items[1]);
	n = sst_block_builder_finish(&b, block);
	sst_block_builder_free(&b);
	build(&items[1], 1, 16);
	learn_number("the length of the builder's second block", n, block_bytes);
}

/* ---- the search, in blocks that are written here ---- */

struct own { /* keys and values of less than 31 bytes */
	struct kv_slice key;
	uint8_t sequence;
};

static struct own own[ENTRIES];
static char own_text[ENTRIES][16];

static uint32_t own_head(struct kv_slice key)
{
	const uint8_t *p = key.data;
	uint32_t h = 0;
	size_t i;

	for (i = 0; i < 4; i++)
		h = h << 8 | (i < key.len ? p[i] : 0);
	return h;
}

/* No prefix; the sequences from 0 on in one byte. */
static void write_own(size_t n, size_t interval)
{
	const size_t restarts = (n + interval - 1) / interval;
	uint8_t *heads = block + SST_BLOCK_HEADER, *offsets = heads + 4 * restarts;
	uint8_t *entries = offsets + 4 * restarts, *p = entries;
	size_t i, shared, unshared;

	memset(block, 0, sizeof(block));
	port_put_le32(block, (uint32_t)n);
	port_put_le32(block + 4, (uint32_t)restarts);
	block[15] = 1;
	for (i = 0; i < n; i++) {
		shared = i % interval ? lsm_key_shared(own[i - 1].key, own[i].key) : 0;
		if (i % interval == 0) {
			port_put_le32(heads + 4 * (i / interval), own_head(own[i].key));
			port_put_le32(offsets + 4 * (i / interval),
				      (uint32_t)(p - entries));
		}
		unshared = own[i].key.len - shared;
		*p++ = (uint8_t)((shared < 7 ? shared : 7) | unshared << 3);
		if (shared >= 7)
			*p++ = (uint8_t)(shared - 7);
		*p++ = 1 << 2 | LSM_PUT;
		*p++ = own[i].sequence;
		memcpy(p, (const uint8_t *)own[i].key.data + shared, unshared);
		p += unshared;
		*p++ = (uint8_t)i;
	}
	block_bytes = (size_t)(p - block);
}

static void set_own(size_t i, uint8_t sequence, const char *fmt, unsigned int number)
{
	int n = snprintf(own_text[i], sizeof(own_text[i]), fmt, number);

	own[i] = (struct own){ kv_slice(own_text[i], (size_t)n), sequence };
}

/* Looks for all that is there and for places in between. */
static void expect_found(size_t n)
{
	struct sst_block b;
	struct sst_entry e;
	size_t i;
	int found;

	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	for (i = 0; i < n; i++) {
		const char *what = learn_text(
			"what find(\"%.*s\", sequence %u) gives", (int)own[i].key.len,
			(const char *)own[i].key.data, own[i].sequence);

		found = sst_block_find(&b, own[i].key,
				       lsm_stamp(own[i].sequence, LSM_PUT), &e);
		learn_expect(found == SST_FOUND, learn_text("%s is SST_FOUND", what),
			     "%s",
			     found == SST_AFTER ? "SST_AFTER"
			     : found == SST_END ? "SST_END"
						: "an error");
		learn_number(learn_text("which entry that is, by its value,"),
			     *(const uint8_t *)e.value.data, i);
	}
}

static void test_find_every_entry(void **state)
{
	static const size_t interval[] = { 1, 2, 7, 16, ENTRIES };
	size_t i, k;

	(void)state;
	for (i = 0; i < ENTRIES; i++)
		set_own(i, 3, "%07u", (unsigned int)(i * 7919));
	for (k = 0; k < sizeof(interval) / sizeof(*interval); k++) {
		write_own(ENTRIES, interval[k]);
		expect_found(ENTRIES);
	}
}

static void test_find_what_is_not_there(void **state)
{
	struct sst_block b;
	struct sst_entry e;
	char text[16];
	size_t i;

	(void)state;
	for (i = 0; i < ENTRIES; i++)
		set_own(i, 3, "%06u", (unsigned int)(10 * i + 10));
	write_own(ENTRIES, 8);
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	for (i = 0; i <= ENTRIES; i++) {
		int n = snprintf(text, sizeof(text), "%06u", (unsigned int)(10 * i + 5));
		int found = sst_block_find(&b, kv_slice(text, (size_t)n), UINT64_MAX, &e);

		learn_number(
			learn_text("find(\"%s\"): 1 is SST_AFTER, 2 SST_END; it", text),
			(uint64_t)found, i < ENTRIES ? SST_AFTER : SST_END);
		if (i < ENTRIES)
			learn_number("the entry behind it, by its value,",
				     *(const uint8_t *)e.value.data, i);
	}
}

static void test_versions_the_newest_first(void **state)
{
	struct sst_block b;
	struct sst_entry e;
	size_t i;

	(void)state;
	set_own(0, 1, "a", 0);
	for (i = 1; i < 100; i++)
		set_own(i, (uint8_t)(200 - 2 * i), "many", 0);
	set_own(100, 1, "z", 0);
	write_own(101, 4);
	expect_found(101);
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	for (i = 1; i < 99; i++) { /* of an odd sequence the next one before it */
		learn_number("find() of a sequence between two versions (0: SST_FOUND)",
			     (uint64_t)sst_block_find(&b, kv_str("many"),
						      lsm_seek_stamp(199 - 2 * i), &e),
			     SST_FOUND);
		learn_number("the sequence of the version at or before it",
			     lsm_sequence(e.stamp), 198 - 2 * i);
	}
}

static void test_keys_with_equal_heads(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ENTRIES; i++)
		set_own(i, 1,
			i < 3     ? "abc%c"
			: i < 190 ? "same%04u"
				  : "z%03u",
			i < 3 ? 'a' + (unsigned int)i : (unsigned int)i);
	for (i = 1; i < 6; i++) {
		write_own(ENTRIES, i);
		expect_found(ENTRIES);
	}
}

static void test_heads_of_all_ones(void **state)
{
	struct sst_block b;
	size_t i;

	(void)state;
	for (i = 0; i < 60; i++) {
		set_own(i, 1, i < 9 ? "a%03u" : "\xff\xff\xff\xff%03u", (unsigned int)i);
	}
	write_own(60, 3);
	expect_found(60);
	write_own(60, 1); /* as an index */
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	for (i = 0; i < 60; i++)
		learn_number(
			"the last restart point at or before the key of one",
			(uint64_t)sst_index_floor(&b, own[i].key, lsm_stamp(1, LSM_PUT)),
			i);
}

static void test_damaged_entries_are_told(void **state)
{
	struct sst_block b;
	struct sst_entry e;
	size_t i, entries;

	(void)state;
	for (i = 0; i < 8; i++)
		set_own(i, 1, "same%04u", (unsigned int)i);
	write_own(8, 4);
	entries = SST_BLOCK_HEADER + 2 * 8;
	/* The second restart point shares a byte, with nothing. */
	block[entries + port_get_le32(block + SST_BLOCK_HEADER + 8 + 4)] |= 1;
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	learn_error("a find at a restart point that claims to share bytes",
		    sst_block_find(&b, kv_str("t"), UINT64_MAX, &e), -EBADMSG);
	write_own(8, 4);
	block[entries + 12] = 31 << 3; /* the second entry is longer than the block */
	block[entries + 13] = 0x7f;
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	learn_error("a find that comes to an entry beyond the block's end",
		    sst_block_find(&b, kv_str("same0003"), UINT64_MAX, &e), -EBADMSG);
	write_own(8, 4);
	port_put_le32(block + SST_BLOCK_HEADER + 8 + 4, 60000);
	learn_error("sst_block_open()", sst_block_open(&b, block, block_bytes), 0);
	learn_error("a find by an offset beyond the block's end",
		    sst_block_find(&b, kv_str("same0007"), UINT64_MAX, &e), -EBADMSG);
}

static void bench_find(uint64_t n)
{
	struct sst_block b;
	struct sst_entry e;
	uint64_t i;

	for (i = 0; i < ENTRIES; i++)
		set_own(i, 3, "%07u", (unsigned int)(i * 7919));
	write_own(ENTRIES, 16);
	(void)sst_block_open(&b, block, block_bytes);
	for (i = 0; i < n; i++)
		(void)sst_block_find(&b, own[i % ENTRIES].key, UINT64_MAX, &e);
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_bytes_of_one_entry, 1, HEADER),
	LEARN_TEST(test_bytes_of_shared_keys, 2, HEADER),
	LEARN_TEST(test_nothing_is_shared_at_a_restart_point, 2, HEADER),
	LEARN_TEST(test_sequences_of_all_widths, 2, HEADER),
	LEARN_TEST(test_every_entry_is_walked, 2, HEADER),
	LEARN_TEST(test_builder_is_empty_after_finish, 1, HEADER),
	LEARN_TEST(test_find_every_entry, 3, CHAPTER),
	LEARN_TEST(test_find_what_is_not_there, 2, CHAPTER),
	LEARN_TEST(test_versions_the_newest_first, 2, "sprint-4-lsm-simd/lsm_entry.h"),
	LEARN_TEST(test_keys_with_equal_heads, 2, CHAPTER),
	LEARN_TEST(test_heads_of_all_ones, 1, CHAPTER),
	LEARN_TEST(test_damaged_entries_are_told, 2, HEADER),
};
static const struct learn_speed speeds[] = { { "find", bench_find, 50000 } };

LEARN_MAIN(tests, speeds)
