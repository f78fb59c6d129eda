/* SPDX-License-Identifier: MIT */
/*
 * kv_crash_history.c - the random history, and what the engine must hold to while nothing
 * has crashed yet.
 */
#include "kv_crash_internal.h"

enum { SNAPSHOTS = 2, SLACK_NS = 5000000 /* the device's own time for a group's sync */ };

struct held { /* a snapshot, and how many writes of its client it shows */
	struct kv_snapshot *snap;
	size_t n;
};

struct client {
	struct crash_run *h;
	struct env_sim *sim;
	struct crash_life *life;
	struct kv **kv;
	uint64_t rng;
	unsigned int number;
	struct held held[SNAPSHOTS];
	uint64_t *row;
	int error; /* a promise was broken */
};

static struct env *env_of(struct crash_run *h, struct env_sim *sim)
{
	struct env *home = env_sim_env(sim);

	return h->c->wrap ? h->c->wrap(h->c->wrap_arg, home) : home;
}

int crash_open(struct crash_run *h, struct env_sim *sim, const char *dir, struct kv **out)
{
	struct kv_msg why = { "" };
	int error = kv_open(h->c->ops, env_of(h, sim), dir, h->c->options, out, &why);

	return error ? crash_fail(h, "open of %s: %d (%s)", dir, error, why.text) : 0;
}

static bool has(const struct client *c, unsigned int cap)
{
	return c->h->c->ops->caps & cap;
}

static uint64_t below(struct client *c, uint64_t n)
{
	return crash_next(&c->rng) % n;
}

static int broken(struct client *c, const char *what, int error)
{
	/* What was made to fail may fail. */
	if (c->h->c->fault && env_sim_fault_fired(c->sim)) {
		c->h->stopped = true;
		return 0;
	}
	return crash_fail(c->h, "%s: %d (%s), without a crash", what, error,
			  strerror(-error));
}

/* Reads the whole into the client's row. Wrong content is wrong whatever failed before;
 * only a read that says the error that it was given ends the history in peace. */
static int read_or_stop(struct client *c, struct kv_snapshot *snap)
{
	int error = crash_read(c->h, *c->kv, snap, c->row);

	if (error >= 0 || !c->h->c->fault || error != c->h->c->fault->error ||
	    !env_sim_fault_fired(c->sim))
		return error != 0;
	*c->h->detail.text = '\0';
	c->h->stopped = true;
	return 0;
}

/* ---- writes ---- */

static uint64_t new_id(struct client *c, size_t op)
{
	return (uint64_t)(c->number + 1) << 48 | c->life->n << 8 | op;
}

/* The client's keys from one on, up to another one or, where no other client's come behind
 * them, to the end. Few at a time, lest the store stays empty. */
static void draw_range(struct client *c, unsigned int key, struct kv_op *op,
		       char to[CRASH_KEY_BYTES], uint64_t *row)
{
	unsigned int keys = c->h->keys, n = 1 + (unsigned int)below(c, 1 + keys / 8);

	op->type = KV_DELETE_RANGE;
	if (n > keys - key)
		n = keys - key;
	if (key + n < keys || c->h->clients > 1)
		op->value = crash_key(c->life->first + key + n, to);
	memset(&row[key], 0, n * sizeof(*row));
}

/* Random steps on the client's keys; row becomes what they make of it. */
static size_t draw_steps(struct client *c, size_t n, struct kv_op *op,
			 char (*name)[2][CRASH_KEY_BYTES], struct kv_buf *value,
			 uint64_t *row)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned int key = (unsigned int)below(c, c->h->keys);
		op[i] = (struct kv_op){ .type = below(c, 4) ? KV_PUT : KV_DELETE };
		op[i].key = crash_key(c->life->first + key, name[i][0]);
		if (op[i].type == KV_DELETE && has(c, KV_CAP_DELETE_RANGE) &&
		    !below(c, 4)) {
			draw_range(c, key, &op[i], name[i][1], row);
			continue;
		}
		row[key] = op[i].type == KV_PUT ? new_id(c, i) : 0;
		if (op[i].type == KV_PUT)
			op[i].value = crash_value(c->h, row[key], &value[i]);
	}
	return n;
}

static enum kv_durability draw_durability(struct client *c)
{
	uint64_t draw = below(c, c->h->c->no_sync ? 7 : 10);

	return draw < 5 ? KV_NONE : draw < 7 ? KV_GROUP : KV_SYNC;
}

static void acknowledged(struct client *c, enum kv_durability how)
{
	struct env *env = env_sim_env(c->sim);

	if (how == KV_SYNC)
		life_floor(c->life, env_sim_position(c->sim));
	if (how == KV_GROUP)
		life_group(c->life, env->ops->now_ns(env) + c->h->group_ns + SLACK_NS);
}

static int write_steps(struct client *c, size_t n, enum kv_durability how)
{
	char name[CRASH_BATCH][2][CRASH_KEY_BYTES];
	struct kv_buf value[CRASH_BATCH] = { 0 };
	struct kv_op op[CRASH_BATCH];
	size_t i;
	int error;

	(void)draw_steps(c, n, op, name, value,
			 life_begin(c->life, env_sim_position(c->sim)));
	error = kv_write(*c->kv, op, n, how);
	for (i = 0; i < n; i++)
		kv_buf_free(&value[i]);
	c->h->r->writes++;
	if (!error)
		acknowledged(c, how);
	return error;
}

/* A store that stopped after a failed sync stays stopped. */
static int check_latch(struct client *c, int error)
{
	if (error == -EROFS && !write_steps(c, 1, KV_SYNC))
		return crash_fail(c->h, "a write was acknowledged after a failed sync");
	return 0;
}

static int write_or_stop(struct client *c, size_t n, enum kv_durability how)
{
	int error = write_steps(c, n, how);

	if (!error)
		return 0;
	if (broken(c, "write", error))
		return 1;
	return check_latch(c, error);
}

/* ---- snapshots ---- */

static int compare_snapshot(struct client *c, const struct held *s)
{
	if (read_or_stop(c, s->snap))
		return 1;
	if (!c->h->stopped && life_match(c->life, c->row, s->n, s->n) == SIZE_MAX)
		return crash_fail(c->h, "a snapshot after %zu writes shows another state",
				  s->n);
	return 0;
}

static int release(struct client *c, struct held *s)
{
	int error = c->h->stopped ? 0 : compare_snapshot(c, s);

	kv_release(*c->kv, s->snap);
	s->snap = NULL;
	return error;
}

static int release_all(struct client *c)
{
	size_t i;
	int error = 0;

	for (i = 0; i < SNAPSHOTS; i++)
		if (c->held[i].snap)
			error |= release(c, &c->held[i]);
	return error;
}

/* Takes one in a free place, or gives the one there up. */
static int step_snapshot(struct client *c)
{
	struct held *s = &c->held[below(c, SNAPSHOTS)];
	int error;

	if (c->h->c->no_snapshots || !has(c, KV_CAP_SNAPSHOT))
		return 0;
	if (s->snap)
		return release(c, s);
	s->n = c->life->n;
	error = kv_snapshot(*c->kv, &s->snap);
	return error ? broken(c, "snapshot", error) : 0;
}

/* ---- the other steps ---- */

static int step_read(struct client *c)
{
	/* Side by side with others only a snapshot stands still. */
	if (c->h->clients > 1)
		return 0;
	if (read_or_stop(c, NULL))
		return 1;
	if (!c->h->stopped &&
	    life_match(c->life, c->row, c->life->n, c->life->n) == SIZE_MAX)
		return crash_fail(c->h, "after %zu writes the store holds another state",
				  c->life->n);
	return 0;
}

static int step_sync(struct client *c)
{
	int error = c->h->c->no_sync ? 0 : kv_sync(*c->kv);

	if (error || c->h->c->no_sync)
		return error ? broken(c, "sync", error) : 0;
	life_floor(c->life, env_sim_position(c->sim));
	return 0;
}

static int step_compact(struct client *c)
{
	int error = kv_compact(*c->kv);

	return error ? broken(c, "compact", error) : 0;
}

static int step_wait(struct client *c)
{
	struct env *env = env_sim_env(c->sim);

	env->ops->sleep_ns(env, c->h->group_ns + 2 * SLACK_NS);
	/* A group whose sync failed behind our back is lost; the next write will say so. */
	if (!c->h->c->fault || !env_sim_fault_fired(c->sim))
		life_wait(c->life, env->ops->now_ns(env), env_sim_position(c->sim));
	return 0;
}

static int step_backup(struct client *c)
{
	struct crash_run *h = c->h;
	struct crash_backup *b;
	int error;

	if (h->clients > 1 || !has(c, KV_CAP_BACKUP) || h->backups == CRASH_BACKUPS)
		return 0;
	b = &h->backup[h->backups];
	*b = (struct crash_backup){ .begun = env_sim_position(c->sim),
				    .done = SIZE_MAX,
				    .n = c->life->n };
	(void)snprintf(b->dir, sizeof(b->dir), "backup%u", h->backups++);
	error = kv_backup(*c->kv, b->dir);
	if (error)
		return broken(c, "backup", error);
	b->done = env_sim_position(c->sim);
	return 0;
}

static int close_store(struct client *c)
{
	int error = release_all(c);
	struct kv *kv = *c->kv;

	if (c->h->c->stats)
		kv_stats(kv, c->h->c->stats, c->h->c->stats_arg);
	*c->kv = NULL;
	if (kv_close(kv))
		c->h->stopped = true;
	else if (!c->h->stopped)
		life_floor(c->life, env_sim_position(c->sim));
	return error;
}

static int step_reopen(struct client *c)
{
	if (c->h->clients > 1)
		return 0;
	if (close_store(c) || c->h->stopped)
		return *c->h->detail.text != '\0';
	if (!crash_open(c->h, c->sim, "store", c->kv))
		return 0;
	if (!c->h->c->fault || !env_sim_fault_fired(c->sim))
		return 1;
	*c->h->detail.text = '\0';
	c->h->stopped = true;
	return 0;
}

/* ---- the whole ---- */

static int step(struct client *c)
{
	uint64_t draw = below(c, 100);

	if (draw < 58)
		return write_or_stop(c, 1, draw_durability(c));
	if (draw < 74)
		return write_or_stop(c, 2 + below(c, CRASH_BATCH - 1),
				     draw_durability(c));
	if (draw < 79)
		return step_sync(c);
	if (draw < 82)
		return step_compact(c);
	if (draw < 87)
		return step_wait(c);
	if (draw < 92)
		return step_snapshot(c);
	if (draw < 96)
		return step_read(c);
	return draw < 99 ? step_reopen(c) : step_backup(c);
}

static void run_client(void *arg)
{
	struct client *c = arg;
	unsigned int i;

	for (i = 0; !c->error && !c->h->stopped && i < c->h->steps; i++)
		c->error = step(c);
	if (c->h->clients > 1)
		c->error |= release_all(c);
}

static int run_clients(struct crash_run *h, struct env_sim *sim, struct client *client)
{
	struct env *env = env_sim_env(sim);
	struct env_task *task[CRASH_CLIENTS];
	unsigned int i;
	int error = 0;

	if (h->clients == 1) {
		run_client(client);
		return client->error;
	}
	for (i = 0; i < h->clients; i++)
		task[i] = env_sim_spawn_client(sim, run_client, &client[i]);
	for (i = 0; i < h->clients; i++) {
		env->ops->join(env, task[i]);
		error |= client[i].error;
	}
	return error;
}

/* The last close makes what all the clients wrote durable. */
static int end_history(struct crash_run *h, struct env_sim *sim, struct client *client)
{
	unsigned int i;
	int error = client->kv[0] ? close_store(client) : 0;

	for (i = 1; !h->stopped && i < h->clients; i++)
		life_floor(&h->life[i], env_sim_position(sim));
	return error;
}

int crash_history(struct crash_run *h, struct env_sim *sim)
{
	struct client client[CRASH_CLIENTS];
	uint64_t rng = h->c->seed;
	struct kv *kv = NULL;
	unsigned int i;
	int error;

	env_sim_fault(sim, h->c->fault);
	for (i = 0; i < h->clients; i++) {
		client[i] = (struct client){ .h = h,
					     .sim = sim,
					     .life = &h->life[i],
					     .kv = &kv,
					     .rng = crash_next(&rng),
					     .number = i };
		client[i].row = calloc(h->clients * h->keys, sizeof(uint64_t));
		if (!client[i].row)
			exit(1);
	}
	error = crash_open(h, sim, "store", &kv);
	if (error && h->c->fault && env_sim_fault_fired(sim)) {
		*h->detail.text = '\0';
		h->stopped = true;
		error = 0;
	}
	if (kv) {
		error = run_clients(h, sim, client);
		error |= end_history(h, sim, client);
	}
	env_sim_fault(sim, NULL);
	for (i = 0; i < h->clients; i++)
		free(client[i].row);
	return error;
}
