/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_blob_tests.c - blob files on a simulated disk: what was added is read, what was changed
 * is noticed, what failed leaves nothing.
 */
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "../lsm_blob_format.h"

#include "../../sprint-1-core-memory/tests/leak_check.h"

enum { RECORDS = 12, VALUE_MAX = 600 << 10 };

#define STORE_ID 0x1122334455667788ull
#define FILE_ID  0x2a
#define PATH     "values.blob"

struct fixture {
	struct env_sim *sim;
	struct env *env;
	struct lsm_blob_ref ref[RECORDS];
	struct lsm_blob_summary summary;
	struct kv_msg why;
	size_t seen;
};

static uint8_t *value_bytes; /* VALUE_MAX of them */

static struct kv_slice key_of(unsigned int i)
{
	static char key[32];

	(void)snprintf(key, sizeof(key), "key%u", i);
	return i ? kv_str(key) : kv_slice("", 0);
}

/* Of all sizes; one is larger than any buffer, one is empty. */
static struct kv_slice value_of(unsigned int i)
{
	size_t n = i == 3 ? 0 : i == 7 ? VALUE_MAX : 100 + i * 700, j;

	for (j = 0; j < n; j++)
		value_bytes[j] = (uint8_t)(j * 7 + i + (j >> 8));
	return kv_slice(value_bytes, n);
}

static int build(struct fixture *f, unsigned int records)
{
	struct lsm_blob_builder_config c = {
		.env = f->env, .path = PATH, .file = FILE_ID, .store_id = STORE_ID
	};
	struct lsm_blob_builder *b;
	unsigned int i;
	int error = lsm_blob_builder_new(&c, &b, &f->why);

	if (error)
		return error;
	for (i = 0; i < records; i++) {
		error = lsm_blob_builder_add(b, key_of(i), value_of(i), &f->ref[i],
					     &f->why);
		if (error) {
			lsm_blob_builder_abandon(b);
			return error;
		}
	}
	return lsm_blob_builder_finish(b, &f->summary, &f->why);
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	value_bytes = malloc(VALUE_MAX);
	assert_non_null(value_bytes);
	f->sim = env_sim_new(NULL);
	f->env = env_sim_env(f->sim);
}

static void end(struct fixture *f)
{
	env_sim_free(f->sim);
	free(value_bytes);
}

static int open_blob(struct fixture *f, bool map, struct lsm_blob **out)
{
	return lsm_blob_open(f->env, PATH, FILE_ID, STORE_ID, &f->summary, map, out,
			     &f->why);
}

static int read_one(struct fixture *f, struct lsm_blob *b, unsigned int i)
{
	struct kv_buf value = { 0 };
	int error = lsm_blob_read(b, &f->ref[i], key_of(i), &value, &f->why);

	if (!error) {
		struct kv_slice wanted = value_of(i);

		assert_int_equal(value.len, wanted.len);
		assert_memory_equal(value.data ? value.data : "", wanted.data, value.len);
	}
	kv_buf_free(&value);
	return error;
}

static void read_all(bool map)
{
	struct lsm_blob *b = NULL;
	struct fixture f;
	unsigned int i;

	begin(&f);
	assert_int_equal(build(&f, RECORDS), 0);
	assert_int_equal(f.summary.records, RECORDS);
	assert_int_equal(open_blob(&f, map, &b), 0);
	for (i = RECORDS; i--;)
		if (read_one(&f, b, i))
			fail_msg("%s", f.why.text);
	lsm_blob_close(b);
	end(&f);
}

static void test_values_are_read(void **state)
{
	(void)state;
	read_all(false);
}

static void test_values_are_read_through_a_map(void **state)
{
	(void)state;
	read_all(true);
}

static void test_reads_can_be_made_side_by_side(void **state)
{
	struct kv_buf value = { 0 };
	struct lsm_blob *b = NULL;
	struct file_read r[2];
	struct fixture f;
	uint8_t *buffer[2];
	unsigned int i;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, RECORDS), 0);
	assert_int_equal(open_blob(&f, false, &b), 0);
	for (i = 0; i < 2; i++) {
		size_t n = (size_t)lsm_blob_record_bytes(key_of(i + 4).len,
							 f.ref[i + 4].value_bytes);

		buffer[i] = malloc(n);
		lsm_blob_read_begin(b, &f.ref[i + 4], key_of(i + 4).len, buffer[i],
				    &r[i]);
	}
	f.env->ops->read_many(f.env, r, 2);
	buffer[1][40] ^= 1; /* what came wrong is read again */
	for (i = 0; i < 2; i++) {
		struct kv_slice wanted;

		assert_int_equal(lsm_blob_read_finish(b, &f.ref[i + 4], key_of(i + 4),
						      &r[i], &value, &f.why),
				 0);
		wanted = value_of(i + 4);
		assert_int_equal(value.len, wanted.len);
		assert_memory_equal(value.data, wanted.data, wanted.len);
		free(buffer[i]);
	}
	kv_buf_free(&value);
	lsm_blob_close(b);
	end(&f);
}

static int see(void *arg, uint64_t offset, struct kv_slice key, struct kv_slice value)
{
	struct fixture *f = arg;
	struct kv_slice wanted;

	assert_int_equal(offset, f->ref[f->seen].offset);
	wanted = key_of((unsigned int)f->seen);
	assert_int_equal(kv_compare(key, wanted), 0);
	wanted = value_of((unsigned int)f->seen);
	assert_int_equal(kv_compare(value, wanted), 0);
	f->seen++;
	return 0;
}

static void test_scan_gives_all_in_order(void **state)
{
	struct lsm_blob *b = NULL;
	struct fixture f;
	int map;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, RECORDS), 0);
	for (map = 0; map < 2; map++) {
		f.seen = 0;
		assert_int_equal(open_blob(&f, map, &b), 0);
		assert_int_equal(lsm_blob_scan(b, see, &f, &f.why), 0);
		assert_int_equal(f.seen, RECORDS);
		lsm_blob_close(b);
	}
	end(&f);
}

static void test_reference_to_another_record_is_noticed(void **state)
{
	struct kv_buf value = { 0 };
	struct lsm_blob_ref ref;
	struct lsm_blob *b = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, RECORDS), 0);
	assert_int_equal(open_blob(&f, false, &b), 0);
	/* Another key's, another file's, beyond the end, with another length. */
	assert_int_equal(lsm_blob_read(b, &f.ref[1], key_of(2), &value, &f.why),
			 -EBADMSG);
	ref = f.ref[1];
	ref.file++;
	assert_int_equal(lsm_blob_read(b, &ref, key_of(1), &value, &f.why), -EBADMSG);
	ref = f.ref[1];
	ref.offset = UINT64_MAX - 4;
	assert_int_equal(lsm_blob_read(b, &ref, key_of(1), &value, &f.why), -EBADMSG);
	ref = f.ref[1];
	ref.value_bytes++;
	assert_int_equal(lsm_blob_read(b, &ref, key_of(1), &value, &f.why), -EBADMSG);
	ref = f.ref[1];
	ref.crc++;
	assert_int_equal(lsm_blob_read(b, &ref, key_of(1), &value, &f.why), -EBADMSG);
	assert_int_equal(value.len, 0);
	kv_buf_free(&value);
	lsm_blob_close(b);
	end(&f);
}

/* A value that is read is right; what can't be is corruption, and says where. */
static void test_any_flipped_byte_is_noticed(void **state)
{
	unsigned int i, bad;
	struct lsm_blob *b = NULL;
	struct fixture f;
	uint64_t at;
	int error;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, 4), 0);
	for (at = 0; at < f.summary.bytes; at++) {
		assert_int_equal(env_sim_flip(f.sim, PATH, at, 0x20), 0);
		error = open_blob(&f, false, &b);
		for (bad = i = 0; !error && i < 4; i++)
			bad += read_one(&f, b, i) == -EBADMSG;
		if (error)
			assert_true(error == -EBADMSG || error == -EPROTONOSUPPORT);
		else
			assert_int_equal(bad, 1);
		f.seen = 0;
		if (!error) {
			assert_int_equal(lsm_blob_scan(b, see, &f, &f.why), -EBADMSG);
			lsm_blob_close(b);
		}
		assert_int_equal(env_sim_flip(f.sim, PATH, at, 0x20), 0);
	}
	end(&f);
}

static void test_file_that_was_cut_is_refused(void **state)
{
	struct lsm_blob *b = NULL;
	struct file *file = NULL;
	struct fixture f;
	uint64_t size;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, 2), 0);
	assert_int_equal(env_open(f.env, PATH, ENV_READ | ENV_WRITE, &file), 0);
	for (size = f.summary.bytes; size--;) {
		assert_int_equal(file->ops->truncate(file, size), 0);
		assert_int_equal(open_blob(&f, false, &b), -EBADMSG);
		/* Nothing is known of it: still no. */
		assert_int_equal(lsm_blob_open(f.env, PATH, FILE_ID, STORE_ID, NULL,
					       false, &b, &f.why),
				 -EBADMSG);
	}
	file_close(file);
	end(&f);
}

static void test_file_of_another_store_or_number_is_refused(void **state)
{
	struct lsm_blob *b = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(build(&f, 2), 0);
	assert_int_equal(lsm_blob_open(f.env, PATH, FILE_ID + 1, STORE_ID, &f.summary,
				       false, &b, &f.why),
			 -EBADMSG);
	assert_int_equal(lsm_blob_open(f.env, PATH, FILE_ID, STORE_ID + 1, &f.summary,
				       false, &b, &f.why),
			 -EBADMSG);
	end(&f);
}

static bool exists(struct fixture *f)
{
	struct file *file;

	if (env_open(f->env, PATH, ENV_READ, &file))
		return false;
	file_close(file);
	return true;
}

static void test_builder_that_fails_leaves_no_file(void **state)
{
	static const unsigned int calls[] = { 1u << SIM_OPEN, 1u << SIM_WRITE,
					      1u << SIM_SYNC };
	struct env_sim_fault fault = { .error = -EIO };
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < 3; i++)
		for (fault.nth = 1;; fault.nth++) {
			int error;

			fault.calls = calls[i];
			env_sim_fault(f.sim, &fault);
			error = build(&f, RECORDS);
			if (!env_sim_fault_fired(f.sim))
				break;
			env_sim_fault(f.sim, NULL);
			assert_int_equal(error, -EIO);
			assert_false(exists(&f));
		}
	env_sim_fault(f.sim, NULL);
	end(&f);
}

static void test_without_memory_all_goes_back(void **state)
{
	struct lsm_blob *b = NULL;
	struct fixture f;
	uint64_t nth, live;
	int error = -ENOMEM;

	(void)state;
	begin(&f);
	for (nth = 1; error; nth++) {
		live = port_fault_live();
		port_fault_set(nth, true);
		error = build(&f, 3);
		if (!error)
			error = open_blob(&f, false, &b);
		if (!error) {
			error = read_one(&f, b, 1);
			lsm_blob_close(b);
		}
		port_fault_set(0, false);
		assert_true(!error || error == -ENOMEM);
		assert_int_equal(port_fault_live(), live);
		(void)f.env->ops->unlink(f.env, PATH);
	}
	assert_true(nth > 4);
	end(&f);
}

/* ---- bytes ---- */

static const uint8_t golden[] = {
	'K',  'V',  'L',  'S',  'M',  'B',  'L',  'B',  /* magic */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 1.0 */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* incompatible */
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* store id */
	0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* number */
	0x00, 0x00, 0x00, 0x00, 0x21, 0x02, 0x00, 0xb5, /* CRC */
	0x27, 0x45, 0x16, 0xc1, 0x03, 0x00, 0x00, 0x00, /* record: CRC, key */
	0x05, 0x00, 0x00, 0x00, 'k',  'e',  'y',  'v',  /* value's length */
	'a',  'l',  'u',  'e',                          /* "key", "value" */
	'K',  'V',  'L',  'S',  'M',  'E',  'N',  'D',  /* footer */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* records */
	0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* their bytes */
	0x00, 0x00, 0x00, 0x00, 0x90, 0xc4, 0x14, 0xf8, /* CRC */
};

static void test_file_is_these_bytes(void **state)
{
	struct lsm_blob_builder_config c = { .path = PATH,
					     .file = FILE_ID,
					     .store_id = STORE_ID };
	uint8_t packed[LSM_BLOB_REF_BYTES];
	struct lsm_blob_builder *b;
	struct lsm_blob_ref ref, again;
	struct kv_buf file = { 0 };
	struct fixture f;

	(void)state;
	begin(&f);
	c.env = f.env;
	assert_int_equal(lsm_blob_builder_new(&c, &b, &f.why), 0);
	assert_int_equal(
		lsm_blob_builder_add(b, kv_str("key"), kv_str("value"), &ref, &f.why), 0);
	assert_int_equal(lsm_blob_builder_finish(b, &f.summary, &f.why), 0);
	assert_int_equal(env_read_file(f.env, PATH, 4096, &file), 0);
	assert_int_equal(file.len, sizeof(golden));
	assert_memory_equal(file.data, golden, sizeof(golden));
	assert_int_equal(f.summary.bytes, sizeof(golden));
	assert_int_equal(f.summary.record_bytes, lsm_blob_record_bytes(3, 5));
	kv_buf_free(&file);
	lsm_blob_ref_put(packed, &ref);
	assert_int_equal(lsm_blob_ref_get(kv_slice(packed, sizeof(packed)), &again), 0);
	assert_memory_equal(&ref, &again, sizeof(ref));
	assert_int_equal(lsm_blob_ref_get(kv_slice(packed, sizeof(packed) - 1), &again),
			 -EBADMSG);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_file_is_these_bytes),
		LEAK_CHECKED(test_values_are_read),
		LEAK_CHECKED(test_values_are_read_through_a_map),
		LEAK_CHECKED(test_reads_can_be_made_side_by_side),
		LEAK_CHECKED(test_scan_gives_all_in_order),
		LEAK_CHECKED(test_reference_to_another_record_is_noticed),
		LEAK_CHECKED(test_any_flipped_byte_is_noticed),
		LEAK_CHECKED(test_file_that_was_cut_is_refused),
		LEAK_CHECKED(test_file_of_another_store_or_number_is_refused),
		LEAK_CHECKED(test_builder_that_fails_leaves_no_file),
		LEAK_CHECKED(test_without_memory_all_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
