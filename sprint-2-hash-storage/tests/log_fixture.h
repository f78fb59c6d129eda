/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * log_fixture.h - what the log's tests share: a log in a simulated directory, records whose
 * bytes follow from a number, and a list of what a reader was given.
 */
#ifndef LOG_FIXTURE_H
#define LOG_FIXTURE_H

#include "../log_format.h"
#include "env_sim.h"

#include "../../sprint-1-core-memory/port_fault.h"

#include <setjmp.h>

#include <cmocka.h>

enum {
	SEGMENT = 64 << 10,
	SEGMENT_ROOM = SEGMENT - LOG_SEGMENT_HEADER_BYTES - LOG_HEADER_BYTES,
	LARGEST = 200 << 10, /* payload that a test makes */
	SEEN_MAX = 4096,
};

#define STORE_ID 0x0123456789abcdefull

struct seen { /* one record that a reader was given */
	uint64_t position, end, sequence;
	unsigned int type;
	uint32_t len, crc; /* of the payload */
};

struct seen_list {
	struct seen seen[SEEN_MAX];
	size_t n;
	int refuse; /* what the callback returns, from the refuse_at-th on */
	size_t refuse_at;
};

struct fixture {
	struct env_sim *sim;
	struct env *env;
	struct log_config config;
	struct log *log;
	struct log_recovery found;
	struct kv_msg why;
	struct seen_list list;
	uint64_t live_before;
};

static uint8_t payload_bytes[LARGEST];

/* len bytes that depend on i; the same for equal i and len. */
static inline struct kv_slice payload(uint64_t i, size_t len)
{
	uint64_t z = i * 0x9e3779b97f4a7c15u + 1;
	size_t at;

	assert_true(len <= LARGEST);
	for (at = 0; at < len; at++) {
		z ^= z << 13;
		z ^= z >> 7;
		z ^= z << 17;
		payload_bytes[at] = (uint8_t)z;
	}
	return kv_slice(payload_bytes, len);
}

static inline int add_seen(void *arg, const struct log_record *r)
{
	struct seen_list *l = arg;

	if (l->refuse && l->n >= l->refuse_at)
		return l->refuse;
	assert_true(l->n < SEEN_MAX);
	l->seen[l->n++] = (struct seen){
		.position = r->position,
		.end = r->end,
		.sequence = r->sequence,
		.type = r->type,
		.len = (uint32_t)r->payload.len,
		.crc = port_crc32c(0, r->payload.data, r->payload.len),
	};
	return 0;
}

static inline void assert_seen(const struct seen *s, uint64_t position, uint64_t i,
			       size_t len)
{
	struct kv_slice p = payload(i, len);

	assert_int_equal(s->position, position);
	assert_int_equal(s->len, len);
	assert_int_equal(s->crc, port_crc32c(0, p.data, p.len));
}

/* ---- life ---- */

static inline void use_sim(struct fixture *f, struct env_sim *sim)
{
	f->sim = sim;
	f->env = env_sim_env(sim);
	f->config.env = f->env;
}

/* A directory, and no log in it yet. */
static inline void begin(struct fixture *f, const struct env_sim_config *c)
{
	memset(f, 0, sizeof(*f));
	port_fault_set(0, false);
	f->live_before = port_fault_live();
	f->config = (struct log_config){
		.dir = "log",
		.store_id = STORE_ID,
		.segment_bytes = SEGMENT,
		.spares = 4,
		.map = true,
		.group_ns = 10000000,
	};
	use_sim(f, env_sim_new(c));
	assert_int_equal(f->env->ops->mkdir(f->env, "log"), 0);
	assert_int_equal(f->env->ops->sync_dir(f->env, "/"), 0);
}

static inline void create_log(struct fixture *f)
{
	int error = log_create(&f->config, &f->log, &f->why);

	if (error)
		fail_msg("log_create: %d: %s", error, f->why.text);
}

static inline void begin_log(struct fixture *f, const struct env_sim_config *c)
{
	begin(f, c);
	create_log(f);
}

static inline int try_open(struct fixture *f, uint64_t from)
{
	f->list.n = 0;
	f->why.text[0] = '\0';
	return log_open(&f->config, from, add_seen, &f->list, &f->found, &f->log,
			&f->why);
}

static inline void open_log(struct fixture *f, uint64_t from)
{
	int error = try_open(f, from);

	if (error)
		fail_msg("log_open: %d: %s", error, f->why.text);
}

static inline void close_log(struct fixture *f)
{
	assert_int_equal(log_close(f->log), 0);
	f->log = NULL;
}

static inline void reopen_log(struct fixture *f, uint64_t from)
{
	close_log(f);
	open_log(f, from);
}

/* Everything is given back. */
static inline void end(struct fixture *f)
{
	if (f->log)
		close_log(f);
	env_sim_free(f->sim);
	port_fault_set(0, false);
	assert_int_equal(port_fault_live(), f->live_before);
}

/* ---- steps ---- */

static inline int try_append(struct log *log, uint64_t i, size_t len, unsigned int flags,
			     uint64_t *position)
{
	struct kv_slice part = payload(i, len);
	struct log_item item = {
		.type = (unsigned int)(i % 100),
		.sequence = LOG_SEQUENCE_POSITION,
		.part = &part,
		.parts = 1,
	};
	int error = log_append(log, &item, 1, flags);

	if (position)
		*position = item.position;
	return error;
}

static inline uint64_t append(struct fixture *f, uint64_t i, size_t len)
{
	uint64_t position;

	assert_int_equal(try_append(f->log, i, len, 0, &position), 0);
	return position;
}

/* So that the next record finds exactly so many bytes left in the segment. */
static inline uint64_t fill_up_to(struct fixture *f, uint64_t i, uint64_t left)
{
	uint64_t used = log_end(f->log) % SEGMENT, room = SEGMENT - used - left;

	assert_true(room >= LOG_HEADER_BYTES && room % LOG_ALIGN == 0);
	return append(f, i, (size_t)room - LOG_HEADER_BYTES);
}

static inline int read_crc(struct log *log, uint64_t position, bool check,
			   struct seen *out)
{
	struct seen_list one = { .n = 0 };
	struct kv_buf buf = { 0 };
	struct log_record r;
	int error = log_read(log, position, check, &buf, &r, NULL);

	if (!error)
		(void)add_seen(&one, &r);
	kv_buf_free(&buf);
	*out = one.seen[0];
	return error;
}

static inline void assert_reads(struct fixture *f, uint64_t position, uint64_t i,
				size_t len)
{
	struct seen s;

	assert_int_equal(read_crc(f->log, position, true, &s), 0);
	assert_seen(&s, position, i, len);
	assert_int_equal(s.end, position + log_record_bytes(len));
	assert_int_equal(read_crc(f->log, position, false, &s), 0);
	assert_seen(&s, position, i, len);
}

struct stat_wanted {
	const char *name;
	uint64_t value;
	bool found;
};

static inline void take_stat(void *arg, const char *name, uint64_t value)
{
	struct stat_wanted *w = arg;

	if (!strcmp(name, w->name)) {
		w->value = value;
		w->found = true;
	}
}

static inline uint64_t stat_of(struct log *log, const char *name)
{
	struct stat_wanted w = { .name = name };

	log_stats(log, take_stat, &w);
	assert_true(w.found);
	return w.value;
}

/* ---- files ---- */

static inline const char *file_of(uint64_t number)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "log/%012llx.log", (unsigned long long)number);
	return path;
}

static inline void flip(struct fixture *f, uint64_t position, uint8_t mask)
{
	assert_int_equal(env_sim_flip(f->sim, file_of(position / SEGMENT),
				      position % SEGMENT, mask),
			 0);
}

static inline struct file *open_segment(struct fixture *f, uint64_t number)
{
	struct file *file = NULL;

	assert_int_equal(env_open(f->env, file_of(number), ENV_READ | ENV_WRITE, &file),
			 0);
	return file;
}

static inline void read_file(struct fixture *f, uint64_t number, uint64_t offset,
			     uint8_t *out, size_t len)
{
	struct file *file = open_segment(f, number);
	size_t got;

	assert_int_equal(file_read(file, offset, out, len, &got), 0);
	assert_int_equal(got, len);
	file_close(file);
}

static inline void write_file(struct fixture *f, uint64_t number, uint64_t offset,
			      const uint8_t *p, size_t len)
{
	struct file *file = open_segment(f, number);

	assert_int_equal(file_write(file, offset, p, len), 0);
	assert_int_equal(file_sync(file), 0);
	file_close(file);
}

static inline void truncate_file(struct fixture *f, uint64_t number, uint64_t size)
{
	struct file *file = open_segment(f, number);

	assert_int_equal(file->ops->truncate(file, size), 0);
	assert_int_equal(file_sync(file), 0);
	file_close(file);
}

struct name_count {
	const char *suffix;
	size_t n;
};

static inline int count_name(void *arg, const char *name)
{
	struct name_count *c = arg;
	size_t n = strlen(name), s = strlen(c->suffix);

	c->n += n >= s && !strcmp(name + n - s, c->suffix);
	return 0;
}

static inline size_t count_files(struct fixture *f, const char *suffix)
{
	struct name_count c = { .suffix = suffix };

	assert_int_equal(f->env->ops->list(f->env, "log", count_name, &c), 0);
	return c.n;
}

/* The process dies, the machine does not: a fixture on the disk that it leaves. The old
 * one goes on, and is ended first or last. */
static inline void kill_process(const struct fixture *f, struct fixture *after)
{
	struct env_sim_point p = { env_sim_position(f->sim), SIM_LOSE_NONE, 0 };

	memset(after, 0, sizeof(*after));
	after->config = f->config;
	after->live_before = port_fault_live();
	use_sim(after, env_sim_crash(f->sim, &p, false));
}

#endif /* LOG_FIXTURE_H */
