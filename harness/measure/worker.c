/* SPDX-License-Identifier: MIT */
/*
 * worker.c - see worker.h.
 *
 * Operations are drawn before the clock starts, because drawing from a zipfian costs more
 * than a fast engine's get and no client of a store pays for it. A thread that has used
 * up what it drew draws again with its clock stopped. Keys and values are made while the
 * clock runs: every client must make them.
 *
 * One clock reading an operation: in the closed loop the end of one is the start of the
 * next. In the open loop an operation has a time at which it is due, and its latency
 * counts from then, however late it starts: waiting in line is part of it (Tene, "How NOT
 * to Measure Latency").
 */
#include "worker.h"

#include "clock.h"

enum {
	DRAW_AHEAD = 1 << 20,     /* operations a thread draws at once */
	PROGRESS_EVERY = 1 << 10, /* operations between two looks at stop and progress */
	SLOW_NS = 100000,         /* an operation after which one looks at once */
	SPIN_NS = 60000,          /* the last bit before a due time is waited for awake */
};

static int interrupted;

void runner_interrupt(void)
{
	__atomic_store_n(&interrupted, 1, __ATOMIC_RELAXED);
}

bool crew_interrupted(void)
{
	return __atomic_load_n(&interrupted, __ATOMIC_RELAXED);
}

static void crew_fail(struct crew *c, int error, const char *what, uint64_t keynum)
{
	pthread_mutex_lock(&c->lock);
	if (!c->error) {
		c->error = error;
		(void)kv_fail(&c->why, error, "%s of keynum %llu failed: %s", what,
			      (unsigned long long)keynum,
			      error == -EBADMSG ? "the value is not what was written"
						: strerror(-error));
	}
	pthread_mutex_unlock(&c->lock);
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELAXED);
}

/* ---- operations ---- */

static struct kv_slice key_slice(struct worker *w, uint64_t keynum)
{
	return kv_slice(w->key, record_key(&w->config->workload, keynum, w->key));
}

static int put(struct worker *w, struct kv_slice key)
{
	w->bytes_written += key.len + w->value.len;
	return kv_put(w->crew->kv, key, kv_slice(w->value.data, w->value.len),
		      w->crew->phase == WORKER_LOAD ? KV_NONE : w->config->durability);
}

static int do_read(struct worker *w, const struct op *op)
{
	struct kv_slice key = key_slice(w, op->keynum);
	int error = kv_get(w->crew->kv, key, &w->value);

	if (error == -ENOENT) {
		w->missing_reads++;
		return 0;
	}
	if (error)
		return error;
	w->bytes_read += key.len + w->value.len;
	return record_touch(&w->config->workload, op->keynum, op->field,
			    kv_slice(w->value.data, w->value.len), &w->sum);
}

static int do_read_missing(struct worker *w, const struct op *op)
{
	size_t n = record_missing_key(&w->config->workload, op->keynum, w->key);
	int error = kv_get(w->crew->kv, kv_slice(w->key, n), &w->value);

	/* The null engine finds everything; of it nothing is believed. */
	if (!error && w->config->engine->kind != ENGINE_NULL)
		return -EBADMSG;
	return error == -ENOENT ? 0 : error;
}

static int do_insert(struct worker *w, const struct op *op, uint64_t version)
{
	int error = record_value(&w->config->workload, op->keynum, version, &w->value);

	return error ? error : put(w, key_slice(w, op->keynum));
}

static int do_update(struct worker *w, const struct op *op, uint64_t version, bool read)
{
	const struct workload *load = &w->config->workload;
	uint64_t missing = w->missing_reads;
	int error = 0;

	if (read)
		error = do_read(w, op);
	if (error)
		return error;
	if (update_merges(load) && w->missing_reads == missing)
		error = record_update_field(load, op->keynum, version, op->field,
					    &w->value);
	else
		error = record_value(load, op->keynum, version, &w->value);
	/* The key's bytes are still those that do_read() made, but it may not have run. */
	return error ? error : put(w, key_slice(w, op->keynum));
}

static int do_scan(struct worker *w, const struct op *op)
{
	struct kv_cursor *c;
	struct kv_slice key = key_slice(w, op->keynum);
	uint32_t i;
	int error = kv_cursor(w->crew->kv, NULL, &c);

	if (error)
		return error;
	error = kv_seek(c, key);
	for (i = 0; !error && i < op->scan_length; i++) {
		w->bytes_read += c->key.len + c->value.len;
		w->sum += c->key.len ? *(const uint8_t *)c->key.data : 0;
		/* Other records' contents are of other keynums: summed, not checked. */
		error = w->config->workload.data_integrity
				? 0
				: record_touch(&w->config->workload, op->keynum,
					       op->field, c->value, &w->sum);
		if (!error && i + 1 < op->scan_length)
			error = kv_next(c);
	}
	kv_cursor_close(c);
	return error == -ENOENT ? 0 : error;
}

static int do_op(struct worker *w, const struct op *op)
{
	uint64_t version = write_version(w->thread, w->index++);

	switch ((enum op_kind)op->kind) {
	case OP_READ:
		return do_read(w, op);
	case OP_UPDATE:
		return do_update(w, op, version, update_merges(&w->config->workload));
	case OP_INSERT:
		return do_insert(w, op, version);
	case OP_SCAN:
		return do_scan(w, op);
	case OP_READ_MODIFY_WRITE:
		return do_update(w, op, version, true);
	case OP_DELETE:
		w->bytes_written += record_key(&w->config->workload, op->keynum, w->key);
		return kv_delete(w->crew->kv, key_slice(w, op->keynum),
				 w->config->durability);
	case OP_READ_MISSING:
		return do_read_missing(w, op);
	case OP_KINDS:
		break;
	}
	return -EINVAL;
}

/* ---- what is kept of an operation ---- */

/* Adds the thread's second to the crew's, and begins the next. */
static void end_second(struct worker *w, uint64_t next)
{
	struct crew *c = w->crew;
	size_t i = w->second_index;

	pthread_mutex_lock(&c->lock);
	if (i >= c->seconds_cap) {
		size_t cap = i + i / 2 + 64;
		struct second *grown = realloc(c->second, cap * sizeof(*grown));

		if (grown) {
			memset(grown + c->seconds_cap, 0,
			       (cap - c->seconds_cap) * sizeof(*grown));
			c->second = grown;
			c->seconds_cap = cap;
		}
	}
	if (i < c->seconds_cap) {
		if (!c->second[i].latency)
			c->second[i].latency = calloc(1, sizeof(struct histogram));
		if (c->second[i].latency)
			histogram_merge(c->second[i].latency, w->second);
		if (c->seconds <= i)
			c->seconds = i + 1;
	}
	pthread_mutex_unlock(&c->lock);
	memset(w->second, 0, sizeof(*w->second));
	w->second_index = next;
}

static void record(struct worker *w, uint8_t kind, uint64_t latency_ns, uint64_t now,
		   uint64_t *second_end)
{
	histogram_add(w->latency[kind], latency_ns);
	if (now >= *second_end) {
		uint64_t next = (now - w->crew->origin_ns - w->paused_ns) / 1000000000u;

		end_second(w, next);
		*second_end =
			w->crew->origin_ns + w->paused_ns + (next + 1) * 1000000000u;
	}
	histogram_add(w->second, latency_ns);
}

/* ---- the loops ---- */

static void draw(struct worker *w)
{
	size_t n = w->left < w->ops_cap ? (size_t)w->left : w->ops_cap;

	for (w->ops_len = 0; w->ops_len < n; w->ops_len++)
		stream_next(w->stream, &w->ops[w->ops_len]);
	w->ops_next = 0;
}

/* Draws more, with the clock stopped; returns the time it is then. */
static uint64_t draw_paused(struct worker *w, uint64_t now, uint64_t *second_end)
{
	uint64_t after;

	draw(w);
	after = clock_now_ns();
	w->paused_ns += after - now;
	*second_end += after - now;
	return after;
}

static uint64_t wait_until(uint64_t due)
{
	uint64_t now = clock_now_ns();

	if (due > now + SPIN_NS) {
		struct timespec t = {
			.tv_sec = (time_t)((due - now - SPIN_NS) / 1000000000u),
			.tv_nsec = (long)((due - now - SPIN_NS) % 1000000000u)
		};

		(void)nanosleep(&t, NULL);
	}
	while ((now = clock_now_ns()) < due)
		;
	return now;
}

static bool must_stop(struct worker *w, uint64_t now)
{
	uint64_t deadline = w->crew->deadline_ns;

	__atomic_store_n(&w->progress, w->done_ops, __ATOMIC_RELAXED);
	return __atomic_load_n(&w->crew->stop, __ATOMIC_RELAXED) || crew_interrupted() ||
	       (deadline && now - w->start_ns - w->paused_ns >= deadline);
}

static void run_loop(struct worker *w)
{
	bool measured = w->crew->phase == WORKER_RUN;
	double interval = measured ? w->crew->interval_ns : 0;
	uint64_t now = clock_now_ns(), second_end = w->crew->origin_ns + 1000000000u,
		 k = 0;

	w->start_ns = now;
	while (w->left) {
		const struct op *op;
		uint64_t begun, end;
		int error;

		if (w->ops_next == w->ops_len)
			now = draw_paused(w, now, &second_end);
		op = &w->ops[w->ops_next++];
		if (interval > 0) {
			uint64_t due =
				w->crew->origin_ns + w->paused_ns +
				(uint64_t)(((double)k++ +
					    (double)w->thread / w->config->threads) *
					   interval);

			(void)wait_until(due);
			now = due;
		}
		error = do_op(w, op);
		end = clock_now_ns();
		if (error) {
			crew_fail(w->crew, error, op_kind_name[op->kind], op->keynum);
			break;
		}
		begun = now;
		if (measured)
			record(w, op->kind, end - begun, end, &second_end);
		now = end;
		w->done_ops++;
		w->left--;
		/* Slow operations look each time, fast ones now and then. */
		if ((w->done_ops % PROGRESS_EVERY == 0 ||
		     end - w->start_ns > 1000000000u) &&
		    must_stop(w, end))
			break;
	}
	w->end_ns = now;
	if (measured)
		end_second(w, 0);
}

static void load_loop(struct worker *w)
{
	uint64_t now = clock_now_ns(), second_end = w->crew->origin_ns + 1000000000u,
		 keynum;

	w->start_ns = now;
	while (load_stream_next(w->load, &keynum)) {
		struct op op = { .keynum = keynum, .kind = OP_INSERT };
		int error = do_insert(w, &op, 0);
		uint64_t end = clock_now_ns();

		if (error) {
			crew_fail(w->crew, error, "load", keynum);
			break;
		}
		record(w, OP_INSERT, end - now, end, &second_end);
		now = end;
		w->done_ops++;
		if (w->done_ops % PROGRESS_EVERY == 0 && must_stop(w, end))
			break;
	}
	w->end_ns = now;
	end_second(w, 0);
}

/* All threads start at one moment, or, if one of them can't be made, none. */
static bool pass_gate(struct crew *c)
{
	bool open;

	pthread_mutex_lock(&c->lock);
	while (c->gate == GATE_SHUT)
		pthread_cond_wait(&c->gate_moved, &c->lock);
	open = c->gate == GATE_OPEN;
	pthread_mutex_unlock(&c->lock);
	return open;
}

static void move_gate(struct crew *c, bool open)
{
	pthread_mutex_lock(&c->lock);
	c->gate = open ? GATE_OPEN : GATE_ABANDONED;
	c->origin_ns = clock_now_ns();
	pthread_cond_broadcast(&c->gate_moved);
	pthread_mutex_unlock(&c->lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	if (pass_gate(w->crew)) {
		if (w->crew->phase == WORKER_LOAD)
			load_loop(w);
		else
			run_loop(w);
	}
	__atomic_store_n(&w->progress, UINT64_MAX, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- crews ---- */

static int worker_open(struct worker *w, struct crew *c, uint32_t thread)
{
	const struct run_config *config = c->config;
	const struct workload *load = &config->workload;
	size_t kind;
	int error;

	w->crew = c;
	w->config = config;
	w->thread = thread;
	error = stream_open(load, load->seed, thread, config->threads, &w->stream);
	if (!error)
		error = load_stream_open(load, thread, config->threads, &w->load);
	if (error)
		return error;
	w->ops_cap = DRAW_AHEAD;
	/* In the open loop there is no time to draw: everything is drawn before. */
	if (load->operation_count / config->threads + 1 < w->ops_cap ||
	    config->ops_per_s > 0)
		w->ops_cap = load->operation_count / config->threads + 1;
	w->ops = calloc(w->ops_cap, sizeof(*w->ops));
	w->second = calloc(1, sizeof(*w->second));
	for (kind = 0; kind < OP_KINDS; kind++) {
		w->latency[kind] = calloc(1, sizeof(struct histogram));
		if (!w->latency[kind])
			return -ENOMEM;
	}
	if (!w->ops || !w->second)
		return -ENOMEM;
	return kv_buf_reserve(&w->value,
			      ((size_t)load->field_length + 4) * load->field_count);
}

int crew_open(struct crew *c, const struct run_config *config)
{
	uint32_t i;
	int error = 0;

	*c = (struct crew){ .config = config };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->gate_moved, NULL);
	c->worker = calloc(config->threads, sizeof(*c->worker));
	if (!c->worker)
		return -ENOMEM;
	for (i = 0; !error && i < config->threads; i++)
		error = worker_open(&c->worker[i], c, i);
	return error;
}

void crew_close(struct crew *c)
{
	uint32_t i;
	size_t k;

	for (i = 0; c->worker && i < c->config->threads; i++) {
		struct worker *w = &c->worker[i];

		stream_close(w->stream);
		load_stream_close(w->load);
		free(w->ops);
		free(w->second);
		for (k = 0; k < OP_KINDS; k++)
			free(w->latency[k]);
		kv_buf_free(&w->value);
	}
	free(c->worker);
	for (k = 0; k < c->seconds_cap; k++)
		free(c->second[k].latency);
	free(c->second);
	pthread_cond_destroy(&c->gate_moved);
	pthread_mutex_destroy(&c->lock);
}

static void worker_reset(struct worker *w, uint64_t ops)
{
	const struct run_config *config = w->config;
	size_t k;

	/* Each thread's share; the first threads take what does not divide. */
	w->left = ops == UINT64_MAX
			  ? ops
			  : ops / config->threads + (w->thread < ops % config->threads);
	w->done_ops = w->missing_reads = w->bytes_written = w->bytes_read = 0;
	w->paused_ns = w->second_index = w->progress = 0;
	memset(w->second, 0, sizeof(*w->second));
	for (k = 0; k < OP_KINDS; k++)
		memset(w->latency[k], 0, sizeof(struct histogram));
	if (w->crew->phase != WORKER_LOAD)
		draw(w);
}

static void crew_reset(struct crew *c, uint64_t ops, double seconds)
{
	uint32_t i;
	size_t k;

	for (k = 0; k < c->seconds_cap; k++) {
		free(c->second[k].latency);
		c->second[k].latency = NULL;
	}
	c->seconds = 0;
	c->deadline_ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
	c->interval_ns = c->config->ops_per_s > 0
				 ? 1e9 * c->config->threads / c->config->ops_per_s
				 : 0;
	for (i = 0; i < c->config->threads; i++)
		worker_reset(&c->worker[i], ops);
}

static const char *phase_name(enum worker_phase phase)
{
	static const char *const name[] = { "load", "warm-up", "run" };

	return name[phase];
}

/* Until every thread has ended; tells of progress meanwhile. */
static void watch(struct crew *c, uint64_t ops, run_progress_fn *progress, void *arg)
{
	struct timespec tenth = { 0, 100000000 }, hundredth = { 0, 2000000 };
	uint64_t begun = clock_now_ns();
	bool running = true;

	while (running) {
		uint64_t done = 0, elapsed;
		uint32_t i;

		(void)nanosleep(clock_now_ns() - begun < 100000000u ? &hundredth : &tenth,
				NULL);
		running = false;
		for (i = 0; i < c->config->threads; i++) {
			uint64_t p =
				__atomic_load_n(&c->worker[i].progress, __ATOMIC_ACQUIRE);

			running |= p != UINT64_MAX;
			done += p == UINT64_MAX ? c->worker[i].done_ops : p;
		}
		elapsed = clock_now_ns() - begun;
		if (!progress || !running)
			continue;
		if (c->deadline_ns)
			progress(arg, phase_name(c->phase), (double)elapsed * 1e-9,
				 (double)c->deadline_ns * 1e-9);
		else
			progress(arg, phase_name(c->phase), (double)done,
				 ops == UINT64_MAX ? 0 : (double)ops);
	}
}

int crew_run(struct crew *c, struct kv *kv, enum worker_phase phase, uint64_t ops,
	     double seconds, run_progress_fn *progress, void *arg, struct kv_msg *why)
{
	uint32_t started = 0, i;
	int error = 0;

	c->kv = kv;
	c->phase = phase;
	crew_reset(c, ops, seconds);
	c->gate = GATE_SHUT;
	for (; !error && started < c->config->threads; started += !error)
		error = -pthread_create(&c->worker[started].id, NULL, worker_main,
					&c->worker[started]);
	move_gate(c, !error);
	if (!error)
		watch(c, ops, progress, arg);
	for (i = 0; i < started; i++)
		pthread_join(c->worker[i].id, NULL);
	if (error)
		return kv_fail(why, error, "only %u of %u threads could be started",
			       started - 1, c->config->threads);
	if (c->error && why)
		*why = c->why;
	return c->error;
}
