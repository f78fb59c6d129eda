/* SPDX-License-Identifier: MIT */
/*
 * schema.c - docs/results.schema.json as tables, and a walk that holds a document to it.
 *
 * What passes has every field that readers ask for, of the type that they expect, so that
 * tables, plots and comparisons need not check again. A test holds these tables and the
 * schema's text to the same verdict on thousands of damaged documents. One difference is
 * meant: JSON Schema calls 1.0 an integer, which nothing here writes or takes.
 */
#include "results.h"

enum shape_kind {
	WHOLE,   /* an integer */
	COUNT,   /* an integer from 0 */
	NATURAL, /* an integer from 1 */
	NUMBER,
	TEXT,
	DIGEST, /* 16 hexadecimal digits */
	CHOICE, /* a string, one of choices */
	FLAG,
	LIST,   /* of any length, of one shape */
	TUPLE,  /* of a fixed length, of one shape */
	MAP,    /* any names, values of one shape */
	OBJECT, /* the fields of a table */
	WHOLE_OR_TEXT,
};

struct shape {
	enum shape_kind kind;
	bool nullable;
	const char *choices;    /* CHOICE: "a|b" */
	size_t length;          /* TUPLE */
	const struct shape *of; /* LIST, TUPLE, MAP; of OBJECT: further names' shape */
	const struct field *fields; /* OBJECT: ends with a NULL name */
	bool open;                  /* OBJECT: further names of any shape are no error */
};

struct field {
	const char *name;
	struct shape shape;
	bool optional;
};

/* clang-format off */
#define PLAIN(k)   { .kind = k }
#define OR_NULL(k) { .kind = k, .nullable = true }
#define ONE_OF(c)  { .kind = CHOICE, .choices = c }
#define LIST_OF(s) { .kind = LIST, .of = &(s) }
#define MAP_OF(s)  { .kind = MAP, .of = &(s) }
#define FIELDS(f)  { .kind = OBJECT, .fields = f }
/* clang-format on */

static const struct shape count = PLAIN(COUNT), whole = PLAIN(WHOLE), text = PLAIN(TEXT),
			  whole_or_null = OR_NULL(WHOLE), option = PLAIN(WHOLE_OR_TEXT);

static const struct field fingerprint_fields[] = {
	{ "board", OR_NULL(TEXT), false },
	{ "cpu", OR_NULL(TEXT), false },
	{ "cores", PLAIN(WHOLE), false },
	{ "memory_bytes", PLAIN(WHOLE), false },
	{ "arch", PLAIN(TEXT), false },
	{ "kernel", PLAIN(TEXT), false },
	{ "os", OR_NULL(TEXT), false },
	{ "page_size", PLAIN(WHOLE), false },
	{ "governor", OR_NULL(TEXT), false },
	{ "mhz_max", OR_NULL(NUMBER), false },
	{ "filesystem", OR_NULL(TEXT), false },
	{ "mount_options", OR_NULL(TEXT), false },
	{ "device", OR_NULL(TEXT), false },
	{ "device_rotational", OR_NULL(FLAG), false },
	{ "compiler", PLAIN(TEXT), false },
	{ "cflags", PLAIN(TEXT), false },
	{ "git", OR_NULL(TEXT), false },
	{ "kvbench", PLAIN(TEXT), false },
	{ 0 },
};

static const struct field settings_fields[] = {
	{ "seed", PLAIN(WHOLE), false },
	{ "replicates", PLAIN(NATURAL), false },
	{ "memory_bytes", PLAIN(WHOLE), false },
	{ "warmup_fraction", PLAIN(NUMBER), false },
	{ "seconds", OR_NULL(NUMBER), true },
	{ "order", PLAIN(TEXT), false },
	{ "value_compressibility", OR_NULL(NUMBER), true },
	{ 0 },
};

static const struct field workload_fields[] = {
	{ "name", PLAIN(TEXT), false },
	{ "summary", PLAIN(TEXT), false },
	{ "properties", MAP_OF(text), false },
	{ 0 },
};
static const struct shape workload = FIELDS(workload_fields);

static const struct field engine_fields[] = {
	{ "label", PLAIN(TEXT), false },
	{ "name", PLAIN(TEXT), false },
	{ "kind", ONE_OF("ours|peer|baseline|null"), false },
	{ "available", PLAIN(FLAG), false },
	{ "reason", PLAIN(TEXT), false },
	{ "version", PLAIN(TEXT), false },
	{ "summary", PLAIN(TEXT), false },
	{ "tuning", PLAIN(TEXT), false },
	{ "capabilities", LIST_OF(text), false },
	{ "options", MAP_OF(option), false },
	{ 0 },
};
static const struct shape engine = FIELDS(engine_fields);

static const struct shape bucket = { .kind = TUPLE, .length = 2, .of = &whole };
static const struct field histogram_fields[] = {
	{ "count", PLAIN(COUNT), false },      { "mean_ns", PLAIN(NUMBER), false },
	{ "p50_ns", OR_NULL(WHOLE), false },   { "p90_ns", OR_NULL(WHOLE), false },
	{ "p99_ns", OR_NULL(WHOLE), false },   { "p999_ns", OR_NULL(WHOLE), false },
	{ "p9999_ns", OR_NULL(WHOLE), false }, { "max_ns", PLAIN(COUNT), false },
	{ "buckets", LIST_OF(bucket), false }, { 0 },
};
static const struct shape histogram = FIELDS(histogram_fields);

static const struct field sync_fields[] = {
	{ "fsync", PLAIN(COUNT), false },
	{ "fdatasync", PLAIN(COUNT), false },
	{ "msync", PLAIN(COUNT), false },
	{ "osync_write", PLAIN(COUNT), false },
	{ "sync_file_range", PLAIN(COUNT), false },
	{ 0 },
};

static const struct field usage_fields[] = {
	{ "cpu_user_ns", PLAIN(COUNT), false },
	{ "cpu_system_ns", PLAIN(COUNT), false },
	{ "switches_voluntary", PLAIN(COUNT), false },
	{ "switches_involuntary", PLAIN(COUNT), false },
	{ "faults_minor", PLAIN(COUNT), false },
	{ "faults_major", PLAIN(COUNT), false },
	{ "device_read_bytes", PLAIN(COUNT), false },
	{ "device_write_bytes", PLAIN(COUNT), false },
	{ "device_source", PLAIN(TEXT), false },
	{ "syncs", { .kind = OBJECT, .fields = sync_fields, .of = &count }, false },
	{ "perf", MAP_OF(count), false },
	{ "perf_hardware", PLAIN(FLAG), false },
	{ "perf_note", PLAIN(TEXT), false },
	{ 0 },
};

static const struct shape second = { .kind = TUPLE, .length = 3, .of = &whole_or_null };
static const struct field phase_fields[] = {
	{ "seconds", PLAIN(NUMBER), false },
	{ "ops", PLAIN(COUNT), false },
	{ "ops_per_s", PLAIN(NUMBER), false },
	{ "failed_ops", PLAIN(COUNT), false },
	{ "missing_reads", PLAIN(COUNT), false },
	{ "logical_bytes_written", PLAIN(COUNT), false },
	{ "logical_bytes_read", PLAIN(COUNT), false },
	{ "latency", MAP_OF(histogram), false },
	{ "series", LIST_OF(second), false },
	{ "usage", FIELDS(usage_fields), false },
	{ 0 },
};

static const struct field thermal_fields[] = {
	{ "celsius", OR_NULL(NUMBER), false },
	{ "throttled", OR_NULL(FLAG), false },
	{ "throttled_bits", OR_NULL(TEXT), false },
	{ "mhz", OR_NULL(NUMBER), false },
	{ 0 },
};

static const struct field recovery_fields[] = {
	{ "records_replayed", PLAIN(COUNT), false },
	{ "bytes_dropped", PLAIN(COUNT), false },
	{ "why", PLAIN(TEXT), false },
	{ 0 },
};

static const struct field replicate_fields[] = {
	{ "replicate", PLAIN(NATURAL), false },
	{ "order", PLAIN(NATURAL), false },
	{ "seed", PLAIN(WHOLE), false },
	{ "void", PLAIN(TEXT), false },
	{ "partial", PLAIN(FLAG), false },
	{ "stream_digest", PLAIN(DIGEST), false },
	{ "content", ONE_OF("equal|plausible|unchecked|different"), false },
	{ "content_note", PLAIN(TEXT), false },
	{ "content_digest", PLAIN(DIGEST), false },
	{ "content_expected", PLAIN(DIGEST), false },
	{ "content_records", PLAIN(COUNT), false },
	{ "live_bytes", PLAIN(COUNT), false },
	{ "space_bytes", PLAIN(COUNT), false },
	{ "space_settled_bytes", PLAIN(COUNT), false },
	{ "peak_rss_bytes", PLAIN(COUNT), false },
	{ "base_rss_bytes", PLAIN(COUNT), false },
	{ "open_seconds", PLAIN(NUMBER), false },
	{ "close_seconds", PLAIN(NUMBER), false },
	{ "recovery", FIELDS(recovery_fields), false },
	{ "thermal_before", FIELDS(thermal_fields), false },
	{ "thermal_after", FIELDS(thermal_fields), false },
	{ "load", FIELDS(phase_fields), false },
	{ "run", FIELDS(phase_fields), false },
	{ "settle", FIELDS(phase_fields), false },
	{ "stats", MAP_OF(whole), false },
	{ 0 },
};
static const struct shape replicate = FIELDS(replicate_fields);

static const struct field cell_fields[] = {
	{ "workload", PLAIN(TEXT), false },
	{ "engine", PLAIN(TEXT), false },
	{ "durability", ONE_OF("none|group|sync"), false },
	{ "records", PLAIN(COUNT), false },
	{ "value_bytes", PLAIN(COUNT), false },
	{ "threads", PLAIN(NATURAL), false },
	{ "target_ops_per_s", OR_NULL(NUMBER), false },
	{ "status", ONE_OF("ok|missing|not feasible|not supported|failed"), false },
	{ "reason", PLAIN(TEXT), false },
	{ "replicates", LIST_OF(replicate), false },
	{ 0 },
};
static const struct shape cell = FIELDS(cell_fields);

static const struct field crossing_figure_fields[] = {
	{ "engine", PLAIN(TEXT), false },
	{ "way", ONE_OF("call|batch|ring"), false },
	{ "call", ONE_OF("get|get of 64|put|put of 64|scan of 64|scan of 1024"), false },
	{ "user_ns", PLAIN(NUMBER), false },
	{ "kernel_ns", PLAIN(NUMBER), false },
	{ "ratio", PLAIN(NUMBER), false },
	{ 0 },
};
static const struct shape crossing_figure = FIELDS(crossing_figure_fields);

static const struct field crossing_fields[] = {
	{ "null_ns", PLAIN(NUMBER), false },
	{ "records", PLAIN(COUNT), false },
	{ "rounds", PLAIN(NATURAL), false },
	{ "figures", LIST_OF(crossing_figure), false },
	{ 0 },
};

static const struct field set_fields[] = {
	{ "schema", PLAIN(WHOLE), false },
	{ "name", PLAIN(TEXT), false },
	{ "created", PLAIN(TEXT), false },
	{ "partial", PLAIN(FLAG), false },
	{ "profile", ONE_OF("quick|standard|publish|custom"), false },
	{ "inference", PLAIN(FLAG), false },
	{ "base", PLAIN(TEXT), false },
	{ "command", LIST_OF(text), false },
	{ "fingerprint",
	  { .kind = OBJECT, .fields = fingerprint_fields, .open = true },
	  false },
	{ "settings", FIELDS(settings_fields), false },
	{ "workloads", LIST_OF(workload), false },
	{ "engines", LIST_OF(engine), false },
	{ "crossing", FIELDS(crossing_fields), true },
	{ "cells", LIST_OF(cell), false },
	{ 0 },
};
static const struct shape set_shape = FIELDS(set_fields),
			  replicate_shape = FIELDS(replicate_fields);

/* ---- the walk ---- */

struct walk {
	char path[160]; /* "cells[3].replicates[0].run" */
	size_t len;
	struct kv_msg *why;
};

static int complain(const struct walk *w, const char *what)
{
	return kv_fail(w->why, -EBADMSG, "%s %s", w->len ? w->path : "the document",
		       what);
}

/* Appends to the path; one that is too long is cut, as a message may be. */
static size_t enter(struct walk *w, const char *fmt, ...)
{
	size_t before = w->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(w->path + w->len, sizeof(w->path) - w->len, fmt, ap);
	va_end(ap);
	w->len += n < 0 ? 0 : (size_t)n;
	if (w->len >= sizeof(w->path))
		w->len = sizeof(w->path) - 1;
	return before;
}

static void leave(struct walk *w, size_t before)
{
	w->len = before;
	w->path[before] = '\0';
}

static int check(struct walk *w, const struct shape *s, const json_t *v);

static int check_whole(struct walk *w, const json_t *v, json_int_t min)
{
	if (!json_is_integer(v))
		return complain(w, "is not a whole number");
	if (json_integer_value(v) < min)
		return complain(w, min ? "is below 1" : "is negative");
	return 0;
}

static int check_digest(struct walk *w, const json_t *v)
{
	const char *s = json_string_value(v);

	if (!s || strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16)
		return complain(w, "is not a digest of 16 hexadecimal digits");
	return 0;
}

static int check_choice(struct walk *w, const char *choices, const json_t *v)
{
	const char *s = json_string_value(v);
	char what[128];

	for (const char *c = choices; s; c += strcspn(c, "|") + 1) {
		size_t n = strcspn(c, "|");

		if (strlen(s) == n && !memcmp(s, c, n))
			return 0;
		if (!c[n])
			break;
	}
	(void)snprintf(what, sizeof(what), "is none of %s", choices);
	return complain(w, what);
}

static int check_list(struct walk *w, const struct shape *s, const json_t *v)
{
	const json_t *item;
	size_t i;
	int error = 0;

	if (!json_is_array(v))
		return complain(w, "is not a list");
	if (s->kind == TUPLE && json_array_size(v) != s->length)
		return complain(w, "has another length");
	json_array_foreach(v, i, item)
	{
		size_t before = enter(w, "[%zu]", i);

		error = check(w, s->of, item);
		if (error)
			return error;
		leave(w, before);
	}
	return 0;
}

static const struct field *find_field(const struct shape *s, const char *name)
{
	const struct field *f;

	for (f = s->fields; f && f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

static int check_object(struct walk *w, const struct shape *s, const json_t *v)
{
	const struct field *f;
	const char *name;
	json_t *member;

	if (!json_is_object(v))
		return complain(w, "is not an object");
	for (f = s->fields; f && f->name; f++) {
		if (f->optional || json_object_get(v, f->name))
			continue;
		(void)enter(w, "%s%s", w->len ? "." : "", f->name);
		return complain(w, "is missing");
	}
	json_object_foreach((json_t *)v, name, member)
	{
		size_t before = enter(w, "%s%.40s", w->len ? "." : "", name);
		int error = 0;

		f = find_field(s, name);
		if (f || s->of)
			error = check(w, f ? &f->shape : s->of, member);
		else if (!s->open)
			error = complain(w, "is not known");
		if (error)
			return error;
		leave(w, before);
	}
	return 0;
}

static int check(struct walk *w, const struct shape *s, const json_t *v)
{
	if (s->nullable && json_is_null(v))
		return 0;
	switch (s->kind) {
	case WHOLE:
		return check_whole(w, v, INT64_MIN);
	case COUNT:
		return check_whole(w, v, 0);
	case NATURAL:
		return check_whole(w, v, 1);
	case NUMBER:
		return json_is_number(v) ? 0 : complain(w, "is not a number");
	case TEXT:
		return json_is_string(v) ? 0 : complain(w, "is not a string");
	case WHOLE_OR_TEXT:
		return json_is_string(v) || json_is_integer(v)
			       ? 0
			       : complain(w, "is neither a string nor a whole number");
	case FLAG:
		return json_is_boolean(v) ? 0 : complain(w, "is neither true nor false");
	case DIGEST:
		return check_digest(w, v);
	case CHOICE:
		return check_choice(w, s->choices, v);
	case LIST:
	case TUPLE:
		return check_list(w, s, v);
	case MAP:
	case OBJECT:
		return check_object(w, s, v);
	}
	return complain(w, "has no known shape");
}

int results_check(const json_t *set, struct kv_msg *why)
{
	struct walk w = { .why = why };
	const json_t *schema = json_object_get(set, "schema");

	if (!json_is_object(set) || !json_is_integer(schema) ||
	    !json_is_array(json_object_get(set, "cells")))
		return kv_fail(why, -EBADMSG, "this is not a result set of kvbench");
	if (json_integer_value(schema) != 1)
		return kv_fail(why, -EPROTONOSUPPORT,
			       "its schema is %lld and this kvbench reads 1: another "
			       "version made it",
			       (long long)json_integer_value(schema));
	return check(&w, &set_shape, set);
}

int results_check_replicate(const json_t *r, struct kv_msg *why)
{
	struct walk w = { .why = why };

	return check(&w, &replicate_shape, r);
}
