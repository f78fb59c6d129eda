/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_history.c - makes histories from seeds, runs them, reports the first that fails.
 *
 * In the manner of property-based testing (Claessen and Hughes, "QuickCheck", 2000): the
 * generator is biased towards where stores break. Keys are few, so that they meet often,
 * and near each other: prefixes, one byte apart, NUL and 0xff at the end. Values are
 * short, or within a byte of the sizes that pages and buffers have.
 */
#include "kv_steps.h"

#include <stdlib.h>

/* ---- random numbers: splitmix64 ---- */

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned int random_below(uint64_t *state, size_t n)
{
	return (unsigned int)(random_next(state) % n);
}

static bool random_percent(uint64_t *state, unsigned int percent)
{
	return random_below(state, 100) < percent;
}

/* ---- keys ---- */

struct maker {
	const struct kv_ops *ops;
	struct kv_history_config
		c; /* with its zeroes filled in, within the engine's limits */
	size_t key_min;
	struct history *h;
	uint64_t random;
	uint32_t tag; /* a new one for each value */
	unsigned int weight[STEP_TYPES], weights, put_percent;
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* One of the keys so far, longer or shorter at its end, or with its last byte moved. */
static size_t key_near_another(struct maker *m, unsigned char *out)
{
	static const unsigned char ends[] = { 0x00, 0xff, 'a', 0x80, 0x7f, 0x01 };
	struct kv_slice other = m->h->key[random_below(&m->random, m->h->n_keys)];
	size_t len = smaller(other.len, m->c.key_max);

	memcpy(out, other.data, len);
	switch (random_below(&m->random, 4)) {
	case 0:
	case 1:
		if (len < m->c.key_max)
			out[len++] = ends[random_below(&m->random, sizeof(ends))];
		break;
	case 2:
		len = random_below(&m->random, len + 1);
		break;
	default:
		if (len)
			out[len - 1] = (unsigned char)(out[len - 1] + 1);
	}
	return len;
}

static size_t key_new(struct maker *m, unsigned char *out)
{
	size_t max = m->c.key_max, len, i;

	switch (random_below(&m->random, 10)) {
	case 0: /* long, and all of a kind */
		len = max - random_below(&m->random, smaller(max, 3));
		memset(out, 'l', len);
		if (len)
			out[len - 1] = (unsigned char)random_next(&m->random);
		return len;
	case 1:
	case 2: /* any bytes */
		len = random_below(&m->random, smaller(max, 12) + 1);
		for (i = 0; i < len; i++)
			out[i] = (unsigned char)random_next(&m->random);
		return len;
	case 3:
	case 4: /* as applications make them */
		return smaller(max, (size_t)snprintf((char *)out, 32, "user%06u",
						     random_below(&m->random, 1000)));
	case 5: /* one byte, or none */
		out[0] = (unsigned char)random_next(&m->random);
		return smaller(max, random_below(&m->random, 4) != 0);
	default:
		if (m->h->n_keys)
			return key_near_another(m, out);
		out[0] = 'k';
		return smaller(max, 1);
	}
}

static bool key_is_known(const struct history *h, struct kv_slice key)
{
	size_t i;

	for (i = 0; i < h->n_keys; i++)
		if (!kv_compare(h->key[i], key))
			return true;
	return false;
}

static int make_keys(struct maker *m)
{
	size_t place = m->c.key_max + 32; /* key_new() writes that much at most */
	struct history *h = m->h;
	unsigned int tries = 0;

	h->key = calloc(m->c.key_space, sizeof(*h->key));
	h->key_memory = calloc(m->c.key_space, place);
	if (!h->key || !h->key_memory)
		return -ENOMEM;
	while (h->n_keys < m->c.key_space) {
		unsigned char *bytes = h->key_memory + h->n_keys * place;
		size_t len = key_new(m, bytes);

		if (len < m->key_min) {
			memset(bytes + len, 'k', m->key_min - len);
			len = m->key_min;
		}
		/* A tiny key_max has fewer keys than were asked for: then some are equal. */
		if (key_is_known(h, kv_slice(bytes, len)) &&
		    tries++ < 50 * m->c.key_space)
			continue;
		h->key[h->n_keys++] = kv_slice(bytes, len);
	}
	return 0;
}

/* ---- steps ---- */

static uint32_t make_value_len(struct maker *m)
{
	static const uint32_t edges[] = { 0,     1,     16,    255,    256,   511,
					  512,   513,   1024,  4000,   4095,  4096,
					  4097,  8191,  8192,  8193,   16384, 32768,
					  65535, 65536, 65537, 1048576 };
	unsigned int dice = random_below(&m->random, 100);
	uint32_t len;

	if (dice < 70)
		len = random_below(&m->random, 24);
	else if (dice < 85)
		len = edges[random_below(&m->random, sizeof(edges) / sizeof(edges[0]))];
	else if (dice < 97)
		len = random_below(&m->random, 300);
	else
		len = random_below(&m->random, m->c.value_max + 1);
	return len <= m->c.value_max ? len : (uint32_t)(len % (m->c.value_max + 1));
}

static uint16_t make_key_index(struct maker *m)
{
	return (uint16_t)random_below(&m->random, m->h->n_keys);
}

static uint8_t make_durability(struct maker *m)
{
	static const uint8_t levels[] = { KV_NONE, KV_NONE,  KV_NONE, KV_NONE,
					  KV_NONE, KV_GROUP, KV_SYNC };

	return m->ops->caps & KV_CAP_DURABLE
		       ? levels[random_below(&m->random, sizeof(levels))]
		       : KV_NONE;
}

static void make_edit(struct maker *m, struct step_edit *e)
{
	*e = (struct step_edit){ .type = KV_DELETE, .key = make_key_index(m) };
	if (m->ops->caps & KV_CAP_DELETE_RANGE && random_percent(&m->random, 4)) {
		e->type = KV_DELETE_RANGE;
		e->end = random_percent(&m->random, 10) ? STEP_NO_END : make_key_index(m);
		if (random_percent(&m->random, 70) && e->end != STEP_NO_END &&
		    kv_compare(m->h->key[e->key], m->h->key[e->end]) > 0) {
			uint16_t key = e->key; /* most ranges are the right way round */

			e->key = e->end;
			e->end = key;
		}
	} else if (random_percent(&m->random, m->put_percent)) {
		e->type = KV_PUT;
		e->value_len = make_value_len(m);
		e->value_tag = m->tag++;
	}
}

static void make_step(struct maker *m, struct step *s)
{
	unsigned int dice = random_below(&m->random, m->weights), i;

	*s = (struct step){ .snapshot = STEP_NEWEST, .n = 1 };
	for (s->type = 0; dice >= m->weight[s->type]; s->type++)
		dice -= m->weight[s->type];
	if (s->type == STEP_WRITE) {
		s->how = make_durability(m);
		if (m->ops->caps & KV_CAP_BATCH && random_percent(&m->random, 25))
			s->n = (uint16_t)(1 + random_below(&m->random, STEP_EDITS));
		for (i = 0; i < s->n; i++)
			make_edit(m, &s->edit[i]);
		return;
	}
	if (s->type == STEP_MULTI_GET)
		s->n = (uint16_t)random_below(&m->random, STEP_EDITS + 1);
	for (i = 0; i < STEP_EDITS; i++)
		s->edit[i].key = make_key_index(m);
	if (s->type == STEP_NEXT || s->type == STEP_PREV)
		s->n = (uint16_t)(1 + random_below(&m->random, 4));
	s->cursor = (uint8_t)random_below(&m->random, STEP_CURSORS);
	if (s->type == STEP_SNAPSHOT || s->type == STEP_RELEASE ||
	    (m->ops->caps & KV_CAP_SNAPSHOT && random_percent(&m->random, 50)))
		s->snapshot = (uint8_t)random_below(&m->random, STEP_SNAPSHOTS);
}

static void weigh_steps(struct maker *m)
{
	static const struct {
		unsigned int weight, caps;
	} steps[STEP_TYPES] = {
		[STEP_WRITE] = { 400, 0 },
		[STEP_GET] = { 120, 0 },
		[STEP_MULTI_GET] = { 40, 0 },
		[STEP_SNAPSHOT] = { 40, KV_CAP_SNAPSHOT },
		[STEP_RELEASE] = { 25, KV_CAP_SNAPSHOT },
		[STEP_CURSOR] = { 50, KV_CAP_ORDERED },
		[STEP_SEEK] = { 90, KV_CAP_ORDERED },
		[STEP_NEXT] = { 80, KV_CAP_ORDERED },
		[STEP_PREV] = { 80, KV_CAP_ORDERED },
		[STEP_CLOSE] = { 15, KV_CAP_ORDERED },
		[STEP_CHECK] = { 20, 0 },
		[STEP_COMPACT] = { 8, 0 },
		[STEP_SYNC] = { 6, 0 },
		[STEP_VERIFY] = { 6, KV_CAP_VERIFY },
		[STEP_REOPEN] = { 8, KV_CAP_PERSISTENT },
		[STEP_BACKUP] = { 3, KV_CAP_BACKUP },
	};
	static const unsigned int puts[] = { 45, 65, 80, 95 };
	unsigned int i;

	for (i = 0; i < STEP_TYPES; i++) {
		bool able = (m->ops->caps & steps[i].caps) == steps[i].caps;

		if (i == STEP_REOPEN && !m->c.reopen)
			able = false;
		m->weight[i] = able ? steps[i].weight : 0;
		m->weights += m->weight[i];
	}
	/* Some histories grow, some shrink, some hover. */
	m->put_percent = puts[random_below(&m->random, 4)];
}

static void history_free(struct history *h)
{
	free(h->key_memory);
	free(h->key);
	free(h->step);
	free(h);
}

static struct history *history_make(const struct kv_target *t,
				    const struct kv_history_config *c, uint64_t seed)
{
	struct history *h = calloc(1, sizeof(*h));
	struct maker m = {
		.ops = t->ops,
		.c = *c,
		.key_min = t->ops->key_min,
		.h = h,
		.random = seed,
	};
	size_t limit = t->ops->key_max ? t->ops->key_max : KV_KEY_MAX;

	if (!h)
		return NULL;
	h->seed = seed;
	m.c.steps = c->steps ? c->steps : 300;
	m.c.key_space = c->key_space ? c->key_space : 30;
	if (m.c.key_space >= STEP_NO_END)
		m.c.key_space = STEP_NO_END - 1;
	m.c.key_max = smaller(c->key_max ? c->key_max : 300, limit);
	if (m.c.key_max < m.key_min)
		m.c.key_max = m.key_min;
	limit = t->ops->value_max ? t->ops->value_max : KV_VALUE_MAX;
	m.c.value_max = smaller(c->value_max ? c->value_max : 5000, limit);
	weigh_steps(&m);
	h->step = calloc(m.c.steps, sizeof(*h->step));
	if (make_keys(&m) || !h->step) {
		history_free(h);
		return NULL;
	}
	for (; h->n < m.c.steps; h->n++)
		make_step(&m, &h->step[h->n]);
	return h;
}

/* ---- printing ---- */

static void print_edit(const struct history *h, const struct step_edit *e, FILE *out)
{
	char key[CHECK_SHOW], end[CHECK_SHOW];

	check_show(h->key[e->key], key);
	if (e->type == KV_PUT)
		fprintf(out, "put %s = value %u of %u bytes", key, e->value_tag,
			e->value_len);
	else if (e->type == KV_DELETE)
		fprintf(out, "delete %s", key);
	else if (e->end == STEP_NO_END)
		fprintf(out, "delete range from %s to the end", key);
	else
		fprintf(out, "delete range [%s, %s)", key,
			check_show(h->key[e->end], end));
}

static void print_keys(const struct history *h, const struct step *s, FILE *out)
{
	char key[CHECK_SHOW];
	unsigned int i;

	for (i = 0; i < s->n; i++)
		fprintf(out, " %s", check_show(h->key[s->edit[i].key], key));
}

void history_print_step(const struct history *h, const struct step *s, FILE *out)
{
	static const char *const names[STEP_TYPES] = {
		[STEP_GET] = "get",
		[STEP_MULTI_GET] = "multi_get",
		[STEP_SNAPSHOT] = "snapshot",
		[STEP_RELEASE] = "release",
		[STEP_CURSOR] = "open",
		[STEP_SEEK] = "seek",
		[STEP_NEXT] = "next",
		[STEP_PREV] = "prev",
		[STEP_CLOSE] = "close",
		[STEP_CHECK] = "check all content",
		[STEP_COMPACT] = "compact",
		[STEP_SYNC] = "sync",
		[STEP_VERIFY] = "verify",
		[STEP_REOPEN] = "close the store and reopen it",
		[STEP_BACKUP] = "backup, and compare it",
	};
	static const char *const levels[] = { "", ", group", ", sync" };
	unsigned int i;

	switch (s->type) {
	case STEP_WRITE:
		if (s->n > 1)
			fprintf(out, "batch of %u: ", s->n);
		for (i = 0; i < s->n; i++) {
			if (i)
				fputs("; ", out);
			print_edit(h, &s->edit[i], out);
		}
		fputs(levels[s->how], out);
		break;
	case STEP_SNAPSHOT:
	case STEP_RELEASE:
		fprintf(out, "%s %u", names[s->type], s->snapshot);
		break;
	case STEP_GET:
	case STEP_MULTI_GET:
		fputs(names[s->type], out);
		print_keys(h, s, out);
		if (s->snapshot != STEP_NEWEST)
			fprintf(out, " at snapshot %u", s->snapshot);
		break;
	case STEP_CURSOR:
		fprintf(out, "cursor %u: open", s->cursor);
		if (s->snapshot != STEP_NEWEST)
			fprintf(out, " over snapshot %u", s->snapshot);
		break;
	case STEP_SEEK:
	case STEP_NEXT:
	case STEP_PREV:
	case STEP_CLOSE:
		fprintf(out, "cursor %u: %s", s->cursor, names[s->type]);
		if (s->type == STEP_SEEK)
			print_keys(h, s, out);
		else if (s->n > 1)
			fprintf(out, ", %u times", s->n);
		break;
	default:
		fputs(names[s->type], out);
	}
	fputc('\n', out);
}

static void report_failure(const struct kv_target *t, struct history *h, size_t steps,
			   struct history_failure *f, unsigned int shrink_ms, FILE *out)
{
	unsigned long long seed = h->seed;
	unsigned int tried;
	size_t i;

	fprintf(out, "not ok history of %s: seed 0x%llx, step %zu of %zu, %s\n",
		t->ops->name, seed, f->step + 1, steps, f->text);
	fflush(out);
	tried = history_shrink(t, h, f, shrink_ms);
	fprintf(out, "# the shortest failing history of %u tried:\n", tried);
	for (i = 0; i < h->n; i++) {
		fprintf(out, "# %3zu  ", i + 1);
		history_print_step(h, &h->step[i], out);
	}
	fprintf(out, "# there: %s%s\n", f->step == h->n ? "at the end, " : "", f->text);
	fprintf(out, "# replay with KV_SEED=0x%llx in the environment\n", seed);
	fflush(out);
}

/* ---- running ---- */

unsigned int kv_history_run(const struct kv_target *t, const struct kv_history_config *c,
			    struct kv_report *r)
{
	unsigned int histories = c->histories ? c->histories : 1, i;

	for (i = 0; i < histories; i++) {
		struct history *h = history_make(t, c, c->seed + i);
		struct history_failure f;

		if (!h) {
			r->failed++;
			if (r->out)
				fprintf(r->out,
					"not ok history of %s: no memory to make one\n",
					t->ops->name);
			return 1;
		}
		if (history_replay(t, h, &f)) {
			r->failed++;
			if (r->out)
				report_failure(t, h, h->n, &f,
					       c->shrink_ms ? c->shrink_ms : 5000,
					       r->out);
			history_free(h);
			return 1;
		}
		history_free(h);
		r->passed++;
	}
	if (r->out && r->verbose)
		fprintf(r->out, "ok %u histories of %s from seed 0x%llx\n", histories,
			t->ops->name, (unsigned long long)c->seed);
	return 0;
}

uint64_t kv_history_seed(uint64_t init)
{
	const char *text = getenv("KV_SEED");
	char *end;
	uint64_t seed;

	if (!text || !text[0])
		return init;
	errno = 0;
	seed = strtoull(text, &end, 0);
	return errno || *end ? init : seed;
}
