/* SPDX-License-Identifier: MIT */
/*
 * check_tests.c - kvcheck as a person meets it: what it prints, what it refuses, its exit
 * codes; damaged stores and backups that were killed, on real files.
 */
#define PROGRAM "kvcheck"
#include "command_fixture.h"

#include <limits.h>
#include <pthread.h>

#include "../../sprint-2-hash-storage/env.h"

enum { PAIRS = 200 };

#define OPTIONS "segment_bytes=64k"

/* ---- stores ---- */

static struct kv *open_store(const char *dir)
{
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	int error =
		kv_open(engines_find("hash")->ops, env_posix(), dir, OPTIONS, &kv, &why);

	if (error)
		fail_msg("%s: %s", dir, why.text);
	return kv;
}

static void put(struct kv *kv, const char *kind, unsigned int i, unsigned int version)
{
	char key[32], value[64];

	(void)snprintf(key, sizeof(key), "%s%04u", kind, i);
	(void)snprintf(value, sizeof(value), "value %u of %s", version, key);
	assert_int_equal(kv_put(kv, kv_str(key), kv_str(value), KV_NONE), 0);
}

/* "pair0000" to "pair0199", and one that is not text. */
static const char *make_store(const char *name)
{
	const char *dir = in_scratch(name);
	struct kv *kv = open_store(dir);
	unsigned int i;

	for (i = 0; i < PAIRS; i++)
		put(kv, "pair", i, 1);
	assert_int_equal(kv_put(kv, kv_slice("\0\t\xff", 3), kv_str("a\nb"), KV_NONE), 0);
	assert_int_equal(kv_close(kv), 0);
	return dir;
}

static const char *file_in(const char *dir, const char *name)
{
	static char path[2 * SCRATCH_PATH];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void change_byte(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	(void)close(fd);
}

static unsigned int lines_with(const char *text, const char *part)
{
	unsigned int n = 0;
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		const char *at = strstr(text, part);

		n += at && at < end;
	}
	return n;
}

/* ---- help and usage ---- */

static void test_every_command_has_help(void **state)
{
	static const char *const commands[] = { "verify", "dump", "salvage" };
	char first[64];
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		RUN(commands[i / 2], i % 2 ? "-h" : "--help");
		expect_code(0);
		(void)snprintf(first, sizeof(first), "kvcheck %s ", commands[i / 2]);
		assert_memory_equal(it.out, first, strlen(first));
		expect_in(it.out, "Exit code");
		assert_string_equal(it.err, "");
	}
	RUN("--help");
	expect_code(0);
	for (i = 0; i < 3; i++)
		expect_in(it.out, commands[i]);
	run((const char *const[]){ NULL });
	expect_code(2);
	expect_in(it.out, "kvcheck COMMAND");
}

static void test_wrong_words_are_refused(void **state)
{
	const char *dir = make_store("store");
	const struct {
		const char *args[6];
		int code;
		const char *says, *also;
	} wrong[] = {
		{ { "verfiy" }, 2, "\"verfiy\"", "nearest is verify" },
		{ { "verify" }, 2, "one directory", "kvcheck verify --help" },
		{ { "verify", "hash", dir, "x" }, 2, "one directory", "--help" },
		{ { "verify", "hsah", dir }, 2, "no engine \"hsah\"", "nearest is hash" },
		{ { "verify", "array", dir }, 2, "array", "nothing on disk" },
		{ { "verify", in_scratch("absent") }, 1, "absent", "No such file" },
		{ { "verify", scratch }, 1, "no engine knows", "name the engine" },
		{ { "verify", "hash", scratch }, 1, "no file of a store", "hash" },
		{ { "verify", "--flies", dir }, 2, "--flies", "nearest is --files" },
		{ { "dump", dir, "--format", "xml" }, 2, "\"xml\"", "text, json or hex" },
		{ { "dump", dir, "--limit", "few" }, 2, "\"few\"", "--limit" },
		{ { "dump", dir, "--raw", "--keys" }, 2, "--raw", "no other option" },
		{ { "salvage", dir }, 2, "a new one", "salvage --help" },
		{ { "salvage", dir, scratch }, 1, "is there already", "new directory" },
		{ { "salvage", dir, file_in(dir, "new") }, 2, "another place", dir },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		run(wrong[i].args);
		expect_code(wrong[i].code);
		assert_memory_equal(it.err, "kvcheck: ", 9);
		expect_in(it.err, wrong[i].says);
		expect_in(it.err, wrong[i].also);
		assert_string_equal(it.out, "");
		assert_ptr_equal(strchr(it.err, '\n'), it.err + strlen(it.err) - 1);
	}
}

/* What is asked for by mistake must not come into being. */
static void test_nothing_is_made_where_nothing_was(void **state)
{
	(void)state;
	RUN("verify", "hash", in_scratch("absent"));
	expect_code(1);
	RUN("dump", "lmdb", in_scratch("absent"));
	assert_true(it.code != 0);
	assert_int_equal(access(in_scratch("absent"), F_OK), -1);
	assert_int_equal(mkdir(in_scratch("empty"), 0755), 0);
	RUN("dump", "hash", in_scratch("empty"));
	expect_code(1);
	expect_in(it.err, "empty");
	assert_int_equal(rmdir(in_scratch("empty")), 0);
}

static void test_store_in_use_is_refused(void **state)
{
	const char *dir = make_store("store");
	struct kv *kv = open_store(dir);

	(void)state;
	RUN("verify", dir);
	expect_code(1);
	expect_in(it.err, "open elsewhere");
	RUN("dump", dir);
	expect_code(1);
	expect_in(it.err, "open elsewhere");
	assert_int_equal(kv_close(kv), 0);
}

/* ---- verify ---- */

static void test_verify_tells_sound_from_damaged(void **state)
{
	const char *dir = make_store("store");

	(void)state;
	RUN("verify", dir);
	expect_code(0);
	expect_in(it.out, ": sound\n");
	expect_in(it.out, "verified: ");
	assert_string_equal(it.err, "");
	RUN("verify", "hash", dir, "--files", "-v");
	expect_code(0);
	expect_in(it.out, "STORE: store ");
	expect_in(it.out, "201 puts");
	assert_null(strstr(it.out, "verified: "));

	change_byte(file_in(dir, "INDEX"), 300);
	RUN("verify", dir, "--files");
	expect_code(0);
	expect_in(it.out, "note: INDEX: ");
	expect_in(it.out, "sound, with notes");

	change_byte(file_in(dir, "000000000000.log"), 1000);
	RUN("verify", dir);
	expect_code(1);
	expect_in(it.out, "FAULT: 000000000000.log: offset ");
	expect_in(it.out, "kvcheck salvage");
	assert_null(strstr(it.out, "opened: "));
}

/* An engine without a check of its own is opened and read. */
static void test_verify_opens_a_store_of_a_library(void **state)
{
	const struct engine_info *e = engines_find("lmdb");
	struct kv *kv = NULL;

	(void)state;
	if (!e || !e->ops) {
		print_message("skipped: lmdb is not built in\n");
		skip();
	}
	assert_int_equal(
		kv_open(e->ops, env_posix(), in_scratch("lmdb"), NULL, &kv, NULL), 0);
	put(kv, "pair", 1, 1);
	assert_int_equal(kv_close(kv), 0);
	RUN("verify", "lmdb", in_scratch("lmdb"));
	expect_code(0);
	expect_in(it.out, "sound");
	RUN("dump", "lmdb", in_scratch("lmdb"));
	expect_code(0);
	assert_string_equal(it.out, "pair0001\tvalue 1 of pair0001\n");
	RUN("dump", "--raw", "lmdb", in_scratch("lmdb"));
	expect_code(1);
	expect_in(it.err, "does not say");
	RUN("salvage", "lmdb", in_scratch("lmdb"), in_scratch("new"));
	expect_code(1);
	expect_in(it.err, "does not say");
	assert_int_equal(access(in_scratch("new.unfinished"), F_OK), -1);
}

/* ---- dump ---- */

static void test_dump_gives_every_pair_in_each_format(void **state)
{
	const char *dir = make_store("store");

	(void)state;
	RUN("dump", dir);
	expect_code(0);
	assert_int_equal(expect_table(it.out, 2), PAIRS + 1);
	expect_in(it.out, "pair0007\tvalue 1 of pair0007\n");
	expect_in(it.out, "\\x00\\t\\xff\ta\\nb\n");
	RUN("dump", dir, "--keys");
	expect_code(0);
	assert_int_equal(expect_table(it.out, 1), PAIRS + 1);
	RUN("dump", "-n", "3", dir, "-f", "hex");
	expect_code(0);
	assert_int_equal(expect_table(it.out, 2), 3);
	RUN("dump", dir, "--format=hex");
	expect_in(it.out, "0009ff\t610a62\n");
	RUN("dump", dir, "--format", "json");
	expect_code(0);
	assert_int_equal(expect_table(it.out, 1), PAIRS + 1);
	expect_in(it.out,
		  "{\"key\": \"pair0007\", \"value\": \"value 1 of pair0007\"}\n");
	expect_in(it.out, "{\"key_hex\": \"0009ff\", \"value\": \"a\\nb\"}\n");
	RUN("dump", dir, "--format", "json", "--keys", "--limit", "0");
	expect_code(0);
	assert_string_equal(it.out, "");
}

static void test_dump_raw_shows_each_record_and_what_is_damaged(void **state)
{
	const char *dir = make_store("store");

	(void)state;
	RUN("dump", "--raw", dir);
	expect_code(0);
	expect_in(it.out, "STORE: format 1.0, store ");
	expect_in(it.out, "INDEX: format 1.0, ");
	expect_in(it.out, "000000000000.log: ");
	assert_int_equal(lines_with(it.out, "  put     seq "), PAIRS + 1);
	expect_in(it.out, "key 8 \"pair0000\"  value 19");
	expect_in(it.out, "  end     durable to ");
	assert_null(strstr(it.out, "DAMAGED"));
	change_byte(file_in(dir, "000000000000.log"), 100);
	RUN("dump", "--raw", dir);
	expect_code(0);
	expect_in(it.out, "        64  DAMAGED ");
	assert_int_equal(lines_with(it.out, "  put     seq "), PAIRS);
	RUN("dump", dir);
	assert_true(it.code == 0 || it.code == 1);
}

/* A table that lies anywhere, and the manifest; and what is none of them. */
static void test_dump_raw_shows_one_file_alone(void **state)
{
	const char *dir = in_scratch("lsm"), *table;
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char alone[SCRATCH_PATH + 16];
	unsigned int i;

	(void)state;
	assert_int_equal(kv_open(engines_find("lsm")->ops, env_posix(), dir,
				 "memory_bytes=16m", &kv, &why),
			 0);
	for (i = 0; i < PAIRS; i++)
		put(kv, "pair", i, 1);
	assert_int_equal(kv_compact(kv), 0);
	assert_int_equal(kv_close(kv), 0);
	RUN("dump", "--raw", file_in(dir, "manifest"));
	expect_code(0);
	expect_in(it.out, "manifest of store ");
	expect_in(it.out, ": whole version, serial ");
	expect_in(it.out, "200 entries, \"pair0000\" to \"pair0199\"");

	(void)snprintf(alone, sizeof(alone), "%s/copy.sst", scratch);
	table = file_in(dir, "000000000001.sst");
	if (access(table, F_OK))
		table = file_in(dir, "000000000002.sst");
	assert_int_equal(rename(table, alone), 0);
	RUN("dump", "--raw", "lsm", alone);
	expect_code(0);
	expect_in(it.out, "entries 200 (deletes 0)");
	assert_int_equal(lines_with(it.out, "    'pair"), PAIRS);
	change_byte(alone, 100);
	RUN("dump", "--raw", alone);
	expect_code(1);
	expect_in(it.err, "damaged at offset ");
	RUN("dump", "--raw", file_in(dir, "STORE"));
	expect_code(1);
	expect_in(it.err, "a file, not the directory of a store");
	RUN("dump", alone);
	expect_code(1);
	expect_in(it.err, "kvcheck dump --raw");
	RUN("dump", "--raw", "hash", alone);
	expect_code(1);
}

static void test_output_that_cannot_be_written_is_an_error(void **state)
{
	const struct surroundings full = { .out = "/dev/full" };
	const char *dir = make_store("store");

	(void)state;
	start(&full, ARGS("dump", dir));
	finish();
	expect_code(1);
	expect_in(it.err, "No space left on device");
}

/* ---- salvage ---- */

static void test_salvage_saves_what_is_left(void **state)
{
	const char *dir = make_store("store"), *new = in_scratch("new");
	struct kv *kv;

	(void)state;
	RUN("salvage", dir, new);
	expect_code(0);
	expect_in(it.out, "201 pairs saved; 0 may");
	RUN("verify", new);
	expect_code(0);
	scratch_remove(new);

	/* The newest version of a pair is lost: its older one comes to light. */
	kv = open_store(dir);
	put(kv, "pair", 5, 2);
	assert_int_equal(kv_close(kv), 0);
	change_byte(file_in(dir, "000000000001.log"), 64 + 30);
	RUN("verify", dir);
	expect_code(1);
	RUN("salvage", "--list", dir, new);
	expect_code(1);
	expect_in(it.out, "FAULT: 000000000001.log: offset 64: ");
	expect_in(it.out, "in doubt\tpair0005\n");
	assert_int_equal(lines_with(it.out, "in doubt"), 1);
	expect_in(it.out, "201 pairs saved; 1 may");
	assert_int_equal(access(in_scratch("new.unfinished"), F_OK), -1);
	RUN("verify", new);
	expect_code(0);
	RUN("dump", new);
	expect_in(it.out, "pair0005\tvalue 1 of pair0005\n");
	scratch_remove(new);
	RUN("salvage", dir, new, "--proven", "--list");
	expect_code(1);
	expect_in(it.out, "left out\tpair0005\n");
	expect_in(it.out, "200 pairs saved; 1 may");
	RUN("dump", new);
	expect_code(0);
	assert_null(strstr(it.out, "pair0005"));
}

static void test_salvage_of_a_store_without_identity(void **state)
{
	const char *dir = make_store("store"), *new = in_scratch("new");

	(void)state;
	assert_int_equal(unlink(file_in(dir, "STORE")), 0);
	assert_int_equal(unlink(file_in(dir, "INDEX")), 0);
	RUN("verify", dir);
	expect_code(1);
	expect_in(it.out, "FAULT: STORE: missing");
	RUN("salvage", dir, new);
	expect_code(1);
	expect_in(it.out, "201 pairs saved");
	assert_int_equal(access(file_in(dir, "STORE"), F_OK), -1);
	RUN("verify", new);
	expect_code(0);
}

static void test_salvage_that_cannot_write_leaves_nothing(void **state)
{
	const struct surroundings small = { .file_size = 32 << 10 };
	const char *dir = make_store("store");

	(void)state;
	start(&small, ARGS("salvage", dir, in_scratch("new")));
	finish();
	expect_code(1);
	assert_true(*it.err);
	assert_int_equal(access(in_scratch("new"), F_OK), -1);
	assert_int_equal(access(in_scratch("new.unfinished"), F_OK), -1);
	assert_int_equal(mkdir(in_scratch("new.unfinished"), 0755), 0);
	RUN("salvage", dir, in_scratch("new"));
	expect_code(1);
	expect_in(it.err, "Remove it first");
}

/* ---- backups ---- */

static char sorted_dump[TEXT_MAX];

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a dump that begin with prefix, sorted. */
static void dump_sorted(const char *dir, const char *prefix, char *out)
{
	static char *line[4096];
	char *at, *save = NULL;
	size_t n = 0, i;

	RUN("dump", dir);
	expect_code(0);
	for (at = strtok_r(it.out, "\n", &save); at; at = strtok_r(NULL, "\n", &save))
		if (!strncmp(at, prefix, strlen(prefix)) && n < 4096)
			line[n++] = at;
	qsort(line, n, sizeof(*line), compare_lines);
	for (i = 0, *out = '\0'; i < n; i++) {
		out = stpcpy(out, line[i]);
		out = stpcpy(out, "\n");
	}
}

static bool stop_writing; /* atomic */

static void *keep_writing(void *arg)
{
	struct kv *kv = arg;
	unsigned int version, i;

	for (version = 1; !port_load_acquire(&stop_writing); version++)
		for (i = 0; i < 50 && !port_load_acquire(&stop_writing); i++)
			put(kv, "busy", i, version);
	return NULL;
}

/* In a process of its own: backs up while another thread writes. */
static void back_up_under_load(const char *dir, const char *backup)
{
	struct kv *kv = open_store(dir);
	pthread_t writer;
	int error;

	port_store_release(&stop_writing, false);
	if (pthread_create(&writer, NULL, keep_writing, kv))
		_exit(2);
	(void)usleep(2000);
	error = kv_backup(kv, backup);
	port_store_release(&stop_writing, true);
	(void)pthread_join(writer, NULL);
	_exit(error || kv_close(kv) ? 1 : 0);
}

/* Killed so long after its directory has come into being; UINT_MAX: never. */
static void run_backup(const char *dir, const char *backup, useconds_t kill_after_us)
{
	bool kills = kill_after_us != UINT_MAX;
	pid_t pid = fork();
	int status = 0, tries;

	assert_true(pid >= 0);
	if (!pid)
		back_up_under_load(dir, backup);
	for (tries = 0; kills && access(backup, F_OK) && tries < 100000; tries++)
		(void)usleep(50);
	if (kills) {
		(void)usleep(kill_after_us);
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!kills && (!WIFEXITED(status) || WEXITSTATUS(status)))
		fail_msg("the backup ended with status %x", status);
}

/* It says so itself, or nothing is in it yet. */
static void expect_unfinished(const char *backup)
{
	if (!strstr(it.out, "STORE: missing") && !strstr(it.err, "no engine knows") &&
	    !strstr(it.err, "is empty") && !strstr(it.err, "no file here"))
		fail_msg("%s%s", it.out, it.err);
	RUN("dump", "hash", backup);
	expect_code(1);
}

static void
test_backup_killed_midway_is_recognised_and_a_whole_one_is_identical(void **state)
{
	char dir[SCRATCH_PATH], backup[SCRATCH_PATH];
	static char before[TEXT_MAX];
	unsigned int round, part = 0, whole = 0;

	(void)state;
	strcpy(dir, make_store("store"));
	strcpy(backup, in_scratch("backup"));
	dump_sorted(dir, "pair", before);
	for (round = 0; round < 24; round++) {
		bool last = round % 6 == 5;

		run_backup(dir, backup, last ? UINT_MAX : round * round * 10);
		RUN("verify", backup);
		if (it.code) {
			part++;
			assert_false(last);
			expect_unfinished(backup);
		} else {
			whole++;
			dump_sorted(backup, "pair", sorted_dump);
			assert_string_equal(sorted_dump, before);
		}
		scratch_remove(backup);
	}
	print_message("%u rounds: %u left a part, %u a backup\n", round, part, whole);
	assert_true(part && whole >= 4);
	RUN("verify", dir);
	expect_code(0);
}

/* Of a store that rests, all of it. */
static void test_backup_of_a_store_at_rest_is_identical_by_dump(void **state)
{
	const char *dir = make_store("store"), *backup = in_scratch("backup");
	static char before[TEXT_MAX];
	struct kv *kv = open_store(dir);
	unsigned int i;

	(void)state;
	for (i = 0; i < PAIRS; i += 3)
		put(kv, "pair", i, 2);
	assert_int_equal(kv_delete(kv, kv_str("pair0001"), KV_NONE), 0);
	assert_int_equal(kv_backup(kv, backup), 0);
	assert_int_equal(kv_close(kv), 0);
	dump_sorted(dir, "", before);
	dump_sorted(backup, "", sorted_dump);
	assert_int_equal(lines_with(before, "\t"), PAIRS);
	assert_string_equal(sorted_dump, before);
	RUN("verify", backup);
	expect_code(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_command_has_help),
		TEST(test_wrong_words_are_refused),
		TEST(test_nothing_is_made_where_nothing_was),
		TEST(test_store_in_use_is_refused),
		TEST(test_verify_tells_sound_from_damaged),
		TEST(test_verify_opens_a_store_of_a_library),
		TEST(test_dump_gives_every_pair_in_each_format),
		TEST(test_dump_raw_shows_each_record_and_what_is_damaged),
		TEST(test_dump_raw_shows_one_file_alone),
		TEST(test_output_that_cannot_be_written_is_an_error),
		TEST(test_salvage_saves_what_is_left),
		TEST(test_salvage_of_a_store_without_identity),
		TEST(test_salvage_that_cannot_write_leaves_nothing),
		TEST(test_backup_killed_midway_is_recognised_and_a_whole_one_is_identical),
		TEST(test_backup_of_a_store_at_rest_is_identical_by_dump),
	};

	RUN_TESTS(tests);
}
