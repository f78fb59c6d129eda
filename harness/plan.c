/* SPDX-License-Identifier: MIT */
/*
 * plan.c - see plan.h.
 */
#include "plan.h"

#include <unistd.h>

#include "workload/generator.h"

static const struct profile profiles[] = {
	{ "quick", 3, 30000, 30000, 1, false }, /* a first look */
	{ "standard", 6, 100000, 300000, 10, true },
	{ "publish", 10, 1000000, 2000000, 60, true }, /* numbers to defend */
};

const struct profile *profile_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

static const char *const durability[] = { "none", "group", "sync" };

const char *durability_name(enum kv_durability d)
{
	return durability[d];
}

int durability_parse(const char *s, enum kv_durability *out)
{
	int i;

	for (i = KV_NONE; i <= KV_SYNC; i++)
		if (!strcmp(s, durability[i])) {
			*out = (enum kv_durability)i;
			return 0;
		}
	return -EINVAL;
}

/* ---- engines ---- */

static int add_engine(struct plan *p, const char *label, struct kv_msg *why)
{
	int error = engine_label_parse(label, &p->engine[p->engines], why);
	size_t i;

	if (!error)
		error = engine_label_check(&p->engine[p->engines], why);
	if (error)
		return error;
	for (i = 0; i < p->engines; i++)
		if (!strcmp(p->engine[i].label, label))
			return kv_fail(why, -EINVAL, "engine \"%s\" is given twice",
				       label);
	p->engines++;
	return 0;
}

/* None given: all that there are. */
static int add_engines(const struct plan_request *r, struct plan *p, struct kv_msg *why)
{
	const struct engine_info *e;
	size_t n = r->engines.n, i;
	int error = 0;

	for (i = 0; !r->engines.n && engines_get(i); i++)
		n++;
	p->engine = calloc(n ? n : 1, sizeof(*p->engine));
	if (!p->engine)
		return -ENOMEM;
	for (i = 0; !error && i < r->engines.n; i++)
		error = add_engine(p, r->engines.item[i], why);
	for (i = 0; !error && !r->engines.n && (e = engines_get(i)); i++)
		error = add_engine(p, e->name, why);
	return error;
}

/* The base must run, or there is nothing to divide by. Unless told, it is LMDB. */
static int choose_base(const struct plan_request *r, struct plan *p, struct kv_msg *why)
{
	const char *wanted = r->base ? r->base : "lmdb";
	size_t i;

	for (i = 0; i < p->engines; i++)
		if (!strcmp(p->engine[i].label, wanted) && p->engine[i].info->ops) {
			p->base = p->engine[i].label;
			return 0;
		}
	if (r->base)
		return kv_fail(why, -EINVAL,
			       "the base, %s, is not among the engines that can run",
			       r->base);
	for (i = 0; i < p->engines && !p->base; i++)
		if (p->engine[i].info->ops && p->engine[i].info->kind != ENGINE_NULL)
			p->base = p->engine[i].label;
	if (!p->base)
		p->base = p->engine[0].label;
	return 0;
}

/* ---- settings ---- */

static int read_workload(const struct plan_request *r, const char *name,
			 struct workload *w, struct kv_msg *why)
{
	int error = workload_find(name, w, why);
	size_t i;

	for (i = 0; !error && i < r->properties.n; i++)
		error = workload_set(w, r->properties.item[i], why);
	return error;
}

/* From the lists, else from the file or a -p, else from the profile. */
static int set_size(const struct plan_request *r, const char *records, const char *value,
		    struct workload *w, struct kv_msg *why)
{
	uint64_t n;

	if (records) {
		if (cli_number(records, false, &n) || !n)
			return kv_fail(why, -EINVAL, "\"%s\" is no number of records",
				       records);
		w->record_count = n;
		w->insert_count = 0;
	} else if (!w->from_file && !cli_list_has(&r->properties, "recordcount")) {
		w->record_count = r->profile->records;
		w->insert_count = 0;
	}
	if (value) {
		if (cli_number(value, true, &n) || n > KV_VALUE_MAX)
			return kv_fail(why, -EINVAL, "\"%s\" is no size of a value",
				       value);
		w->field_count = 1;
		w->field_length = (uint32_t)n;
	} else if (!w->from_file && !cli_list_has(&r->properties, "fieldlength") &&
		   !cli_list_has(&r->properties, "fieldcount")) {
		w->field_count = 1;
		w->field_length = 100;
	}
	if (r->ops)
		w->operation_count = r->ops;
	else if (!w->from_file && !cli_list_has(&r->properties, "operationcount"))
		w->operation_count = w->record_count > r->profile->ops ? w->record_count
								       : r->profile->ops;
	return 0;
}

static const char *item(const struct cli_list *l, size_t i)
{
	return l->n ? l->item[i] : NULL;
}

static int make_setting(const struct plan_request *r, const char *workload,
			const char *records, const char *value, const char *threads,
			const char *level, const char *rate, struct setting *s,
			struct kv_msg *why)
{
	uint64_t n = 1;
	int error = read_workload(r, workload, &s->workload, why);

	if (!error)
		error = set_size(r, records, value, &s->workload, why);
	if (!error)
		error = workload_check(&s->workload, why);
	if (error)
		return error;
	if (threads ? cli_number(threads, false, &n) || !n || n > 1024 : false)
		return kv_fail(why, -EINVAL, "\"%s\" is no number of threads (1 to 1024)",
			       threads);
	if (!threads && s->workload.threads)
		n = s->workload.threads;
	s->threads = (uint32_t)n;
	s->durability = KV_NONE;
	if (level && durability_parse(level, &s->durability))
		return kv_fail(why, -EINVAL,
			       "durability is none, group or sync, not \"%s\"", level);
	s->rate = s->workload.target_ops_per_s;
	if (rate && cli_real(rate, &s->rate)) {
		if (cli_number(rate, false, &n) || (double)n > CLI_REAL_MAX)
			return kv_fail(why, -EINVAL,
				       "\"%s\" is no rate (operations a second)", rate);
		s->rate = (double)n; /* 20k */
	}
	return 0;
}

/* Cells are told apart by these alone. */
static bool same_setting(const struct setting *a, const struct setting *b)
{
	const struct workload *v = &a->workload, *w = &b->workload;

	return !strcmp(v->name, w->name) && v->record_count == w->record_count &&
	       (uint64_t)v->field_count * v->field_length ==
		       (uint64_t)w->field_count * w->field_length &&
	       a->threads == b->threads && a->durability == b->durability &&
	       a->rate == b->rate;
}

static int check_distinct(const struct plan *p, struct kv_msg *why)
{
	size_t i, j;

	for (i = 0; i < p->settings; i++)
		for (j = 0; j < i; j++)
			if (same_setting(&p->setting[i], &p->setting[j]))
				return kv_fail(
					why, -EINVAL,
					"workload %s is in the grid twice with the "
					"same settings",
					p->setting[i].workload.name);
	return 0;
}

static size_t length(const struct cli_list *l)
{
	return l->n ? l->n : 1;
}

static int add_settings(const struct plan_request *r, struct plan *p, struct kv_msg *why)
{
	static char *core[] = { "a", "b", "c", "d", "e", "f" };
	size_t workloads = r->workloads.n ? r->workloads.n : 6;
	size_t n = workloads * length(&r->records) * length(&r->values) *
		   length(&r->threads) * length(&r->durability) * length(&r->rates);
	size_t i;

	p->setting = calloc(n, sizeof(*p->setting));
	if (!p->setting)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		/* i in mixed radix, the workload's digit changing fastest */
		size_t w = i % workloads, rest = i / workloads;
		size_t rate = rest % length(&r->rates);
		size_t threads = (rest /= length(&r->rates)) % length(&r->threads);
		size_t value = (rest /= length(&r->threads)) % length(&r->values);
		size_t records = (rest /= length(&r->values)) % length(&r->records);
		size_t level = rest / length(&r->records);
		int error = make_setting(
			r, r->workloads.n ? r->workloads.item[w] : core[w],
			item(&r->records, records), item(&r->values, value),
			item(&r->threads, threads), item(&r->durability, level),
			item(&r->rates, rate), &p->setting[i], why);

		if (error)
			return error;
		p->settings++;
	}
	return 0;
}

int plan_make(const struct plan_request *r, struct plan *out, struct kv_msg *why)
{
	int error;

	*out = (struct plan){
		.replicates = r->replicates ? r->replicates : r->profile->replicates,
		.seed = r->seed,
		.memory_bytes = r->memory_bytes,
		.seconds = r->seconds > 0 ? r->seconds : r->profile->seconds,
		.warmup = r->warmup,
		.profile = r->profile,
	};
	if (why)
		why->text[0] = '\0';
	error = add_engines(r, out, why);
	if (!error)
		error = choose_base(r, out, why);
	if (!error)
		error = add_settings(r, out, why);
	if (!error)
		error = check_distinct(out, why);
	if (!error && out->replicates > 256)
		error = kv_fail(why, -EINVAL, "at most 256 replicates");
	if (error) {
		plan_free(out);
		if (why && !why->text[0])
			(void)kv_fail(why, error, "%s", strerror(-error));
	}
	return error;
}

void plan_free(struct plan *p)
{
	free(p->engine);
	free(p->setting);
	*p = (struct plan){ 0 };
}

/* ---- cells ---- */

bool plan_cannot_run(const struct engine_label *e, const struct setting *s,
		     const char **status, char *reason, size_t n)
{
	const struct engine_info *info = e->info;

	if (!info->ops) {
		*status = "missing";
		engines_absence(info, reason, n);
	} else if (info->max_records && s->workload.record_count > info->max_records) {
		*status = "not feasible";
		(void)snprintf(reason, n, "%s", info->infeasible);
	} else if (s->workload.proportion[OP_SCAN] > 0 &&
		   !(info->ops->caps & KV_CAP_ORDERED)) {
		*status = "not supported";
		(void)snprintf(reason, n, "keeps no order, so it cannot scan");
	} else if (s->durability != KV_NONE && !(info->ops->caps & KV_CAP_DURABLE)) {
		*status = "not supported";
		(void)snprintf(reason, n, "offers no durability but none");
	} else {
		return false;
	}
	return true;
}

void plan_shuffle(const struct plan *p, size_t setting, uint64_t replicate, size_t *order)
{
	struct rng r;
	size_t i;

	rng_seed(&r, p->seed ^ 0x6f72646572, setting * 1000 + replicate);
	for (i = 0; i < p->engines; i++)
		order[i] = i;
	for (i = p->engines; i > 1; i--) { /* Fisher and Yates */
		size_t j = (size_t)rng_below(&r, i), t = order[j];

		order[j] = order[i - 1];
		order[i - 1] = t;
	}
}

uint64_t plan_seed(const struct plan *p, uint64_t replicate)
{
	/* Within 63 bits: JSON's integers are signed. */
	uint64_t state = p->seed + replicate;

	return splitmix64(&state) >> 1;
}
