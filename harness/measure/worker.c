/* SPDX-License-Identifier: MIT */
/*
 * worker.c - see worker.h.
 *
 * Operations are drawn before the clock starts, because drawing from a zipfian costs more
 * than a fast engine's get and no client of a store pays for it. A thread that has used
 * up what it drew draws again with its clock stopped: that time is in none of its figures
 * (an engine's background threads do run in it; it is about 5% of the time of operations
 * that take a microsecond). Keys and values are made while the clock runs.
 *
 * One clock reading an operation: in the closed loop the end of one is the start of the
 * next. In the open loop an operation has a time at which it is due, and its latency
 * counts from then, however late it starts: waiting in line is part of it (Tene, "How NOT
 * to Measure Latency"). While it waits for the last microseconds before a due time a
 * thread spins, so an open loop's CPU figures say nothing of the engine.
 */
#include "worker.h"

#include "clock.h"

enum {
	DRAW_AHEAD = 1 << 20, /* operations a thread draws at once */
	SPIN_NS = 60000,      /* the last bit before a due time is waited for awake */
	NAP_NS = 50000000,    /* longest sleep before one looks at stop */
	WATCH_NS = 100000000, /* between two calls of progress */
	SECOND_NS = 1000000000,
};

static unsigned int interrupts; /* atomic */

void runner_interrupt(void)
{
	__atomic_fetch_add(&interrupts, 1, __ATOMIC_RELAXED);
}

unsigned int crew_interrupts(void)
{
	return __atomic_load_n(&interrupts, __ATOMIC_RELAXED);
}

void crew_interrupt_clear(void)
{
	__atomic_store_n(&interrupts, 0, __ATOMIC_RELAXED);
}

static bool must_stop(const struct crew *c)
{
	return port_load_relaxed(&c->stop) || crew_interrupts();
}

static void fail(struct worker *w, const struct op *op, int error)
{
	struct crew *c = w->crew;

	pthread_mutex_lock(&c->lock);
	if (!c->error) {
		c->error = error;
		worker_complain(w, op, error, &c->why);
	}
	pthread_mutex_unlock(&c->lock);
	port_store_relaxed(&c->stop, 1);
}

/* ---- drawing ---- */

static bool draw_one(struct worker *w, struct op *op)
{
	if (w->crew->phase != WORKER_LOAD) {
		stream_next(w->stream, op);
		return true;
	}
	*op = (struct op){ .kind = OP_INSERT };
	return load_stream_next(w->load, &op->keynum);
}

/* Fills up the operations drawn ahead, as far as this phase needs them. What an earlier
 * phase left over comes first: the stream is one. */
static void draw(struct worker *w)
{
	uint64_t want = w->left < w->cap ? w->left : w->cap;

	w->len -= w->next;
	memmove(w->ops, w->ops + w->next, w->len * sizeof(*w->ops));
	w->next = 0;
	while (w->len < want && draw_one(w, &w->ops[w->len]))
		w->len++;
}

/* ---- time ---- */

/* What happened since now is not of the phase: its clock was stopped. */
static uint64_t resume_clock(struct worker *w, uint64_t now)
{
	uint64_t after = clock_now_ns(), pause = after - now;

	w->origin_ns += pause;
	w->second_end_ns += pause;
	if (w->deadline_ns != UINT64_MAX)
		w->deadline_ns += pause;
	return after;
}

static void end_second(struct worker *w)
{
	size_t kind;

	for (kind = 0; kind < OP_KINDS; kind++) {
		struct histogram *h = w->latency_second[kind];

		if (!h || !h->count)
			continue;
		histogram_merge(w->latency[kind], h);
		series_add(&w->crew->series, w->second, h);
		memset(h, 0, sizeof(*h));
	}
}

/* now is in another second than before. The bookkeeping is not of the phase. */
static uint64_t next_second(struct worker *w, uint64_t now)
{
	end_second(w);
	w->second = (now - w->origin_ns) / SECOND_NS;
	w->second_end_ns = w->origin_ns + (w->second + 1) * SECOND_NS;
	return resume_clock(w, now);
}

/* True when the time is due; false when the phase ends before. */
static bool wait_until(struct worker *w, uint64_t due)
{
	uint64_t now = clock_now_ns();

	if (due >= w->deadline_ns)
		return false;
	while (now + SPIN_NS < due) {
		uint64_t nap = due - now - SPIN_NS;
		struct timespec t = { 0, (long)(nap < NAP_NS ? nap : NAP_NS) };

		if (must_stop(w->crew))
			return false;
		(void)nanosleep(&t, NULL);
		now = clock_now_ns();
	}
	while (clock_now_ns() < due)
		;
	return true;
}

/* When the thread's k-th operation is due: threads take turns. */
static uint64_t due_ns(const struct worker *w, uint64_t k)
{
	double turns = (double)k + (double)w->thread / w->config->threads;

	return w->origin_ns + (uint64_t)(turns * w->crew->interval_ns);
}

/* ---- the loop ---- */

static void work(struct worker *w)
{
	struct crew *c = w->crew;
	bool counts = c->phase != WORKER_LOAD;
	uint64_t begun = clock_now_ns(), end, latency, k = 0;
	const struct op *op;
	int error;

	w->end_ns = begun;
	while (w->left && begun < w->deadline_ns && !must_stop(c)) {
		if (w->next == w->len) {
			draw(w);
			if (!w->len) /* the end of the load */
				break;
			begun = resume_clock(w, begun);
		}
		if (c->interval_ns > 0) {
			begun = due_ns(w, k++);
			if (!wait_until(w, begun))
				break;
		}
		op = &w->ops[w->next++];
		error = worker_do(w, op);
		end = clock_now_ns();
		if (error) {
			fail(w, op, error);
			break;
		}
		latency = end - begun;
		/* An operation belongs to the second in which it ends. */
		begun = end < w->second_end_ns ? end : next_second(w, end);
		histogram_add(w->latency_second[op->kind], latency);
		port_store_relaxed(&w->done, w->done + 1);
		w->index += counts;
		w->left--;
		w->end_ns = begun;
	}
	end_second(w);
}

/* All threads start at one moment, or, if one of them can't be made, none. */
static bool pass_gate(struct worker *w)
{
	struct crew *c = w->crew;

	pthread_mutex_lock(&c->lock);
	while (c->gate == GATE_SHUT)
		pthread_cond_wait(&c->moved, &c->lock);
	w->origin_ns = c->origin_ns;
	pthread_mutex_unlock(&c->lock);
	return c->gate == GATE_OPEN;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->crew;

	if (pass_gate(w)) {
		w->second_end_ns = w->origin_ns + SECOND_NS;
		if (w->deadline_ns != UINT64_MAX)
			w->deadline_ns += w->origin_ns;
		work(w);
	}
	pthread_mutex_lock(&c->lock);
	c->running--;
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- phases ---- */

static void worker_prepare(struct worker *w, struct kv *kv, const struct crew_phase *p)
{
	uint32_t threads = w->config->threads;
	size_t kind;

	w->kv = kv;
	w->durability = p->durability;
	/* Each thread's share; the first threads take what does not divide. A load ends
	 * with its stream. */
	w->left = p->ops == UINT64_MAX || p->phase == WORKER_LOAD
			  ? UINT64_MAX
			  : p->ops / threads + (w->thread < p->ops % threads);
	w->deadline_ns = p->seconds > 0 ? (uint64_t)(p->seconds * 1e9) : UINT64_MAX;
	w->second = 0;
	w->done = w->missing_reads = w->bytes_written = w->bytes_read = 0;
	for (kind = 0; kind < OP_KINDS; kind++)
		if (w->latency[kind])
			memset(w->latency[kind], 0, sizeof(struct histogram));
	draw(w);
}

static void move_gate(struct crew *c, enum crew_gate gate)
{
	pthread_mutex_lock(&c->lock);
	c->gate = gate;
	c->origin_ns = clock_now_ns();
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
}

static const char *phase_name(enum worker_phase phase)
{
	static const char *const name[] = { "load", "warm-up", "run" };

	return name[phase];
}

static void tell(const struct crew *c, const struct crew_phase *p)
{
	uint64_t done = 0;
	uint32_t t;

	if (!p->progress)
		return;
	for (t = 0; t < c->config->threads; t++)
		done += port_load_relaxed(&c->worker[t].done);
	if (p->seconds > 0)
		p->progress(p->arg, phase_name(p->phase),
			    (double)(clock_now_ns() - c->origin_ns) * 1e-9, p->seconds);
	else
		p->progress(p->arg, phase_name(p->phase), (double)done,
			    p->ops == UINT64_MAX ? 0 : (double)p->ops);
}

/* Until every thread has ended; tells of progress meanwhile. */
static void watch(struct crew *c, const struct crew_phase *p)
{
	pthread_mutex_lock(&c->lock);
	while (c->running) {
		struct timespec until;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += WATCH_NS;
		if (until.tv_nsec >= SECOND_NS) {
			until.tv_nsec -= SECOND_NS;
			until.tv_sec++;
		}
		if (pthread_cond_timedwait(&c->moved, &c->lock, &until) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&c->lock);
		tell(c, p);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

static int start_threads(struct crew *c, uint32_t *started)
{
	int error = 0;

	c->gate = GATE_SHUT;
	c->running = 0;
	for (*started = 0; *started < c->config->threads; (*started)++) {
		struct worker *w = &c->worker[*started];

		pthread_mutex_lock(&c->lock);
		c->running++;
		pthread_mutex_unlock(&c->lock);
		error = -pthread_create(&w->id, NULL, worker_main, w);
		if (error)
			break;
	}
	return error;
}

int crew_run(struct crew *c, struct kv *kv, const struct crew_phase *p,
	     struct usage *usage, struct kv_msg *why)
{
	struct usage_mark mark;
	uint32_t started, t;
	int error;

	c->phase = p->phase;
	c->interval_ns = p->ops_per_s > 0 ? 1e9 * c->config->threads / p->ops_per_s : 0;
	series_clear(&c->series);
	for (t = 0; t < c->config->threads; t++)
		worker_prepare(&c->worker[t], kv, p);
	error = start_threads(c, &started);
	if (usage)
		usage_start(&mark, c->config->dir, p->perf);
	move_gate(c, error ? GATE_ABANDONED : GATE_OPEN);
	if (!error)
		watch(c, p);
	if (usage)
		usage_stop(&mark, usage);
	for (t = 0; t < started; t++)
		pthread_join(c->worker[t].id, NULL);
	if (error)
		return kv_fail(why, error,
			       "only %u of %u threads could be started: %s; take fewer",
			       started, c->config->threads, strerror(-error));
	tell(c, p);
	if (c->error && why)
		*why = c->why;
	return c->error;
}

/* ---- crews ---- */

/* Of the phase's kinds and, as the load inserts, inserts. */
static int open_histograms(struct worker *w)
{
	size_t kind;

	for (kind = 0; kind < OP_KINDS; kind++) {
		if (kind != OP_INSERT && w->config->workload.proportion[kind] <= 0)
			continue;
		w->latency[kind] = malloc(sizeof(struct histogram));
		w->latency_second[kind] = malloc(sizeof(struct histogram));
		if (!w->latency[kind] || !w->latency_second[kind])
			return -ENOMEM;
		memset(w->latency[kind], 0, sizeof(struct histogram));
		memset(w->latency_second[kind], 0, sizeof(struct histogram));
	}
	return 0;
}

/* How many operations a thread ever needs at once. */
static size_t ops_needed(const struct run_config *config)
{
	const struct workload *w = &config->workload;
	uint64_t most = w->insert_count, run = w->operation_count;

	if (run < config->warmup_ops)
		run = config->warmup_ops;
	if (!w->operation_count)
		run = UINT64_MAX;
	if (most < run)
		most = run;
	most /= config->threads;
	return most < DRAW_AHEAD ? (size_t)most + 1 : DRAW_AHEAD;
}

static int worker_open(struct worker *w, struct crew *c, uint32_t thread)
{
	const struct run_config *config = c->config;
	const struct workload *load = &config->workload;
	int error;

	w->crew = c;
	w->config = config;
	w->thread = thread;
	w->blind = config->engine->kind == ENGINE_NULL;
	w->cap = ops_needed(config);
	w->ops = malloc(w->cap * sizeof(*w->ops));
	if (!w->ops)
		return -ENOMEM;
	memset(w->ops, 0, w->cap * sizeof(*w->ops));
	error = stream_open(load, load->seed, thread, config->threads, &w->stream);
	if (!error)
		error = load_stream_open(load, thread, config->threads, &w->load);
	if (!error)
		error = open_histograms(w);
	if (!error)
		error = record_value(load, 0, 0, &w->sample);
	if (!error)
		error = record_value(load, 0, 0, &w->value);
	return error ? error : record_value(load, 0, 0, &w->got);
}

int crew_open(struct crew *c, const struct run_config *config)
{
	pthread_condattr_t monotonic;
	size_t bytes = config->threads * sizeof(*c->worker);
	uint32_t t;
	int error;

	*c = (struct crew){ .config = config };
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	error = series_init(&c->series);
	c->worker = error ? NULL : aligned_alloc(_Alignof(struct worker), bytes);
	if (!c->worker)
		return -ENOMEM;
	memset(c->worker, 0, bytes);
	for (t = 0; !error && t < config->threads; t++)
		error = worker_open(&c->worker[t], c, t);
	return error;
}

static void worker_close(struct worker *w)
{
	size_t kind;

	stream_close(w->stream);
	load_stream_close(w->load);
	free(w->ops);
	for (kind = 0; kind < OP_KINDS; kind++) {
		free(w->latency[kind]);
		free(w->latency_second[kind]);
	}
	kv_buf_free(&w->sample);
	kv_buf_free(&w->value);
	kv_buf_free(&w->got);
}

void crew_close(struct crew *c)
{
	uint32_t t;

	for (t = 0; c->worker && t < c->config->threads; t++)
		worker_close(&c->worker[t]);
	free(c->worker);
	series_free(&c->series);
	pthread_cond_destroy(&c->moved);
	pthread_mutex_destroy(&c->lock);
}
