/* SPDX-License-Identifier: MIT */
/*
 * engine_label.c - see engine_label.h.
 */
#include "engine_label.h"

#include "cli.h"

static const char *engine_name(size_t i)
{
	const struct engine_info *e = engines_get(i);

	return e ? e->name : NULL;
}

/* After the @. Whether the name is one, engine_label_check() finds out. */
static int parse_home(const char *home, struct engine_label *out, struct kv_msg *why)
{
	size_t n = strcspn(home, ":");

	if (out->info->kind != ENGINE_OURS)
		return kv_fail(
			why, -EINVAL,
			"%s has its own way to files: a home is for engines of ours",
			out->info->name);
	if (!n || n >= sizeof(out->home))
		return kv_fail(why, -EINVAL,
			       "\"%s\": a home is posix or uring, as in %s@uring",
			       out->label, out->info->name);
	memcpy(out->home, home, n);
	out->home[n] = '\0';
	return 0;
}

enum { NAME_BYTES = 64 };

/* The engine that the label's first n bytes name, which go to name, cut where too long. */
static const struct engine_info *find_engine(const char *label, size_t n,
					     char name[NAME_BYTES])
{
	size_t kept = n < NAME_BYTES ? n : NAME_BYTES - 1;

	memcpy(name, label, kept);
	name[kept] = '\0';
	return engines_find(name);
}

int engine_label_parse(const char *label, struct engine_label *out, struct kv_msg *why)
{
	size_t n = strcspn(label, ":");
	char name[NAME_BYTES];
	char *p;
	int error;

	/* array@kernel is an engine, hash@uring is one in a home. */
	*out = (struct engine_label){ .label = label,
				      .info = find_engine(label, n, name) };
	if (!out->info) {
		n = strcspn(label, "@:");
		out->info = find_engine(label, n, name);
	}
	if (!out->info)
		return kv_fail(
			why, -EINVAL,
			"unknown engine \"%s\"; nearest is %s. See kvbench engines", name,
			cli_nearest(name, engine_name));
	error = label[n] == '@' ? parse_home(label + n + 1, out, why) : 0;
	if (error)
		return error;
	n += strcspn(label + n, ":");
	if (!label[n])
		return 0;
	if (strlen(label + n + 1) >= sizeof(out->options))
		return kv_fail(why, -EINVAL, "the options of %s are too long", name);
	(void)snprintf(out->options, sizeof(out->options), "%s", label + n + 1);
	for (p = out->options; *p; p++)
		if (*p == ':')
			*p = ',';
	return 0;
}

static int open_nothing(struct env *env, const char *dir, const uint64_t *opt,
			struct kv **out, struct kv_msg *why)
{
	(void)env, (void)dir, (void)opt, (void)why;
	*out = NULL;
	return 0;
}

/* kv_open() checks options before it calls the engine: here there is none behind. */
int engine_label_check(const struct engine_label *e, struct kv_msg *why)
{
	struct kv_ops ops;
	struct kv *none;
	struct env *env;
	int error;

	if (!e->info->ops)
		return 0;
	error = engines_home(e->home, &env, why);
	if (error)
		return error;
	ops = *e->info->ops;
	ops.open = open_nothing;
	return kv_open(&ops, NULL, "", e->options, &none, why);
}

static const struct {
	enum kv_cap cap;
	const char *name;
} caps[] = {
	{ KV_CAP_CURSOR, "cursor" },
	{ KV_CAP_ORDERED, "ordered" },
	{ KV_CAP_SNAPSHOT, "snapshot" },
	{ KV_CAP_BATCH, "batch" },
	{ KV_CAP_DELETE_RANGE, "delete_range" },
	{ KV_CAP_PERSISTENT, "persistent" },
	{ KV_CAP_DURABLE, "durable" },
	{ KV_CAP_CRASH_SAFE, "crash_safe" },
	{ KV_CAP_BACKUP, "backup" },
	{ KV_CAP_VERIFY, "verify" },
};

enum { CAPS = sizeof(caps) / sizeof(caps[0]) };

void engine_caps(const struct engine_info *e, char *out, size_t n)
{
	size_t i, used = 0;

	out[0] = '\0';
	for (i = 0; i < CAPS; i++)
		if (e->ops && e->ops->caps & caps[i].cap && used < n)
			used += (size_t)snprintf(out + used, n - used, "%s%s",
						 used ? " " : "", caps[i].name);
}

static json_t *options_json(const struct engine_label *e)
{
	const struct kv_opt *o = e->info->ops ? e->info->ops->opts : NULL;
	json_t *all = json_object();
	const char *p = e->options;

	for (; o && o->name; o++)
		json_object_set_new(
			all, o->name,
			json_integer(
				(json_int_t)(o->init > INT64_MAX ? INT64_MAX : o->init)));
	if (e->info->kind == ENGINE_OURS && !e->info->in_kernel)
		json_object_set_new(all, "home",
				    json_string(*e->home ? e->home : "posix"));
	while (*p) {
		size_t n = strcspn(p, ","), name = strcspn(p, "=,");

		if (name < n) {
			char key[64];

			(void)snprintf(key, sizeof(key), "%.*s", (int)name, p);
			json_object_set_new(all, key,
					    json_stringn(p + name + 1, n - name - 1));
		}
		p += n + (p[n] == ',');
	}
	return all;
}

json_t *engine_label_json(const struct engine_label *e)
{
	const struct engine_info *info = e->info;
	json_t *list = json_array();
	char reason[256] = "";
	size_t i;

	for (i = 0; i < CAPS; i++)
		if (info->ops && info->ops->caps & caps[i].cap)
			json_array_append_new(list, json_string(caps[i].name));
	if (!info->ops)
		engines_absence(info, reason, sizeof(reason));
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:o}", "label",
			 e->label, "name", info->name, "kind",
			 engine_kind_name(info->kind), "available", info->ops != NULL,
			 "reason", reason, "version", info->ops ? info->version() : "",
			 "summary", info->ops ? info->ops->summary : "", "tuning",
			 info->tuning ? info->tuning : "", "capabilities", list,
			 "options", options_json(e));
}
