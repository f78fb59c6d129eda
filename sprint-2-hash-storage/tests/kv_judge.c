/* SPDX-License-Identifier: MIT */
/*
 * kv_judge.c - see kv_judge.h.
 */
#include "kv_judge.h"

int judge_note(void *arg, const struct kv_finding *f)
{
	struct judge_outcome *o = arg;
	size_t at = strlen(o->text);

	assert_true(f->text && *f->text);
	o->facts += f->kind == KV_FOUND_FACT;
	o->notes += f->kind == KV_FOUND_NOTE;
	o->faults += f->kind == KV_FOUND_FAULT;
	if (f->kind != KV_FOUND_FACT)
		(void)snprintf(o->text + at, sizeof(o->text) - at, "[%s %llu+%llu: %s]",
			       f->file ? f->file : "-", (unsigned long long)f->offset,
			       (unsigned long long)f->bytes, f->text);
	return 0;
}

uint64_t judge_changes(struct env_sim *disk)
{
	return env_sim_calls(disk, 1u << SIM_WRITE | 1u << SIM_SYNC | 1u << SIM_ALLOCATE |
					   1u << SIM_TRUNCATE | 1u << SIM_UNLINK |
					   1u << SIM_RENAME | 1u << SIM_MKDIR |
					   1u << SIM_RMDIR | 1u << SIM_SYNC_DIR |
					   1u << SIM_MAP);
}

static void expect_untouched(struct env_sim *disk, uint64_t changes_before)
{
	assert_int_equal(judge_changes(disk), changes_before);
	assert_int_equal(env_sim_live(disk), 0);
}

struct judge_outcome judge_check(const struct judge_subject *of, struct env_sim *disk)
{
	struct judge_outcome o = { 0 };
	uint64_t before = judge_changes(disk);

	o.error = of->inspect->check(env_sim_env(disk), "store", judge_note, &o, &o.why);
	expect_untouched(disk, before);
	return o;
}

static int take_pair(void *arg, const struct kv_salvaged *p)
{
	struct judge_salvaged *s = arg;
	char text[FIXTURE_KEY] = "";
	unsigned int key;

	assert_true(p->key.len < sizeof(text));
	memcpy(text, p->key.data, p->key.len);
	assert_int_equal(sscanf(text, "key%u", &key), 1);
	if (key >= s->of->keys || s->version[key])
		fail_msg("%s is given twice, or was never written", text);
	s->version[key] = fixture_version(key, s->of->value_bytes(key), p->value.data,
					  p->value.len);
	if (s->version[key] == UINT_MAX)
		fail_msg("%s: a value that was never written", text);
	s->doubtful[key] = p->doubtful;
	return 0;
}

static int note_salvage(void *arg, const struct kv_finding *f)
{
	return judge_note(&((struct judge_salvaged *)arg)->found, f);
}

struct judge_salvaged judge_salvage(const struct judge_subject *of, struct env_sim *disk)
{
	struct judge_salvaged s = { .of = of };
	uint64_t before = judge_changes(disk);

	s.found.error = of->inspect->salvage(env_sim_env(disk), "store", take_pair,
					     note_salvage, &s, &s.found.why);
	expect_untouched(disk, before);
	return s;
}

struct line_count {
	unsigned int lines;
	size_t line_bytes;
};

static int count_line(void *arg, const char *line)
{
	struct line_count *c = arg;

	assert_true(strlen(line) < c->line_bytes);
	c->lines++;
	return 0;
}

int judge_structure(const struct judge_subject *of, struct env_sim *disk,
		    unsigned int *lines)
{
	struct line_count c = { 0, of->line_bytes };
	uint64_t before = judge_changes(disk);
	int error;

	error = of->inspect->structure(env_sim_env(disk), "store", count_line, &c, NULL);
	expect_untouched(disk, before);
	*lines = c.lines;
	return error;
}

int judge_use(const struct judge_subject *of, struct env_sim *disk,
	      const unsigned int *truth, unsigned int except, const char *damage)
{
	struct kv_buf value = { 0 };
	struct kv_msg why = { "" };
	struct kv *kv = NULL;
	char k[FIXTURE_KEY];
	unsigned int key;
	int error, failed = 0;

	error = kv_open(of->ops, env_sim_env(disk), "store", of->options, &kv, &why);
	if (error)
		return error;
	for (key = 0; key < of->keys; key++) {
		error = kv_get(kv, fixture_key(k, key), &value);
		if (error == -EBADMSG)
			failed = error;
		else if (error ? error != -ENOENT || truth[key]
			       : key != except &&
					 fixture_version(key, of->value_bytes(key),
							 value.data,
							 value.len) != truth[key])
			fail_msg("%s: opened, and key %u is wrong", damage, key);
	}
	error = kv_verify(kv, &why);
	kv_buf_free(&value);
	assert_int_equal(kv_close(kv), 0);
	return error ? error : failed;
}

void judge_count(struct judge_tally *t, const struct judge_outcome *o)
{
	t->faults += o->faults > 0;
	t->notes += !o->faults && o->notes;
	t->silent += !o->faults && !o->notes;
}

void judge_print(const char *name, const struct judge_tally *t)
{
	print_message("%s: %llu faults, %llu notes, %llu without a trace\n", name,
		      (unsigned long long)t->faults, (unsigned long long)t->notes,
		      (unsigned long long)t->silent);
}

/* ---- whole tests ---- */

static int check_files(const struct judge_subject *of, struct env_sim *disk)
{
	return judge_check(of, disk).error;
}

static int salvage_files(const struct judge_subject *of, struct env_sim *disk)
{
	return judge_salvage(of, disk).found.error;
}

static int print_files(const struct judge_subject *of, struct env_sim *disk)
{
	unsigned int lines;

	return judge_structure(of, disk, &lines);
}

void judge_out_of_memory(const struct judge_subject *of, struct env_sim *disk, bool each)
{
	static const struct {
		int (*work)(const struct judge_subject *of, struct env_sim *disk);
		uint64_t least; /* allocations that it makes, so that some have failed */
	} every[] = { { check_files, 5 }, { salvage_files, 40 }, { print_files, 2 } };
	size_t i;

	for (i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
		uint64_t n;
		int error;

		for (n = 1;; n += each ? 1 : 1 + n / 16) {
			port_fault_set(n, false);
			error = every[i].work(of, disk);
			if (!error)
				break;
			assert_int_equal(error, -ENOMEM);
		}
		assert_true(n > every[i].least);
	}
	port_fault_set(0, false);
}

void judge_busy(const struct judge_subject *of, struct env_sim *disk, struct kv *kv)
{
	struct judge_outcome o = { 0 };

	o.error = of->inspect->check(env_sim_env(disk), "store", judge_note, &o, &o.why);
	assert_int_equal(o.error, -EBUSY);
	assert_non_null(strstr(o.why.text, "close it there first"));
	assert_int_equal(kv_close(kv), 0);
}

void judge_no_store(const struct judge_subject *of, const char *name)
{
	struct env_sim *disk = env_sim_new(NULL);
	struct env *env = env_sim_env(disk);
	struct judge_outcome o = { 0 };
	char path[ENV_PATH_MAX];
	struct file *f;

	assert_int_equal(of->inspect->recognise(env, "store"), KV_NOT_MINE);
	assert_int_equal(env->ops->mkdir(env, "store"), 0);
	assert_int_equal(of->inspect->recognise(env, "store"), KV_NOT_MINE);
	o.error = of->inspect->check(env, "store", judge_note, &o, &o.why);
	assert_int_equal(o.error, -ENOENT);
	if (name) {
		assert_int_equal(env_path(path, "store", name), 0);
		assert_int_equal(env_open(env, path, ENV_WRITE | ENV_CREATE, &f), 0);
		file_close(f);
		assert_int_equal(of->inspect->recognise(env, "store"), KV_PERHAPS_MINE);
		o.error = of->inspect->check(env, "store", judge_note, &o, &o.why);
		assert_int_equal(o.error, -EBADMSG);
		assert_true(o.why.text[0]);
	}
	env_sim_free(disk);
}
