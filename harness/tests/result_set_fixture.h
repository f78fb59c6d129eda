/* SPDX-License-Identifier: MIT */
/*
 * result_set_fixture.h - what the tests of result sets share: a scratch directory, a
 * replicate as it comes from a run, and a set that holds it.
 *
 * Included once a program.
 */
#ifndef RESULT_SET_FIXTURE_H
#define RESULT_SET_FIXTURE_H

#include "../../sprint-1-core-memory/tests/scratch.h"
#include "../results/results.h"

/* JSON with ' for ". */
static inline json_t *parse(const char *text)
{
	char quoted[4096];
	json_error_t where;
	json_t *o;
	char *p;

	assert_true(strlen(text) < sizeof(quoted));
	memcpy(quoted, text, strlen(text) + 1);
	for (p = quoted; *p; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(quoted, 0, &where);
	if (!o)
		fail_msg("%s", where.text);
	return o;
}

/* ---- a replicate ---- */

static struct run_config config;
static struct run_result result; /* freed by run_result_free() */

static inline struct histogram *latencies(uint64_t ns, size_t times)
{
	struct histogram *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	while (times--)
		histogram_add(h, ns);
	return h;
}

/* Each number another, so that none can stand in another's place. */
static inline void make_phase(struct run_phase *p, uint64_t n)
{
	p->seconds = (double)n + 0.5;
	p->ops = n + 1;
	p->failed_ops = n + 2;
	p->missing_reads = n + 3;
	p->logical_bytes_written = n + 4;
	p->logical_bytes_read = n + 5;
	p->usage.cpu_user_ns = n + 6;
	p->usage.cpu_system_ns = n + 7;
	p->usage.switches_voluntary = n + 8;
	p->usage.switches_involuntary = n + 9;
	p->usage.faults_minor = n + 10;
	p->usage.faults_major = n + 11;
	p->usage.device_read_bytes = n + 12;
	p->usage.device_write_bytes = n + 13;
	p->usage.syncs = (struct sync_counts){ n + 14, n + 15, n + 16, n + 17, n + 18 };
	(void)snprintf(p->usage.device_source, sizeof(p->usage.device_source),
		       "/proc/self/io");
	p->usage.perf.n = 1;
	p->usage.perf.v[0] = (struct perf_value){ "task-clock", n + 19 };
	(void)snprintf(p->usage.perf.note, sizeof(p->usage.perf.note), "no hardware");
}

static inline int make_result(void **state)
{
	static const char lines[] = "splits 3\ncache hits 18446744073709551615\n";
	struct kv_buf stats = { 0 };

	(void)state;
	memset(&config, 0, sizeof(config));
	memset(&result, 0, sizeof(result));
	config.workload.seed = 42;
	make_phase(&result.load, 1000);
	make_phase(&result.run, 2000);
	make_phase(&result.settle, 3000);
	result.run.latency[OP_READ] = latencies(100, 250);
	result.run.latency_all = latencies(100, 250);
	result.run.series = calloc(2, sizeof(*result.run.series));
	assert_non_null(result.run.series);
	result.run.series_len = 2;
	result.run.series[0] = (struct run_second){ 240, 100, 100 };
	result.run.series[1] = (struct run_second){ 10, 0, 90 };
	result.stream_digest = 0x0123456789abcdef;
	result.content_digest = 0xfedcba9876543210;
	result.content_expected = 0xff;
	result.content_records = 5;
	result.content = CONTENT_EQUAL;
	result.live_bytes = 6;
	result.space_bytes = 7;
	result.space_settled_bytes = 8;
	result.peak_rss_bytes = 9;
	result.base_rss_bytes = 10;
	result.open_seconds = 0.25;
	result.close_seconds = 0.125;
	result.recovery.records_replayed = 11;
	result.recovery.bytes_dropped = 12;
	assert_int_equal(kv_buf_append(&stats, lines, sizeof(lines)), 0);
	result.stats = stats.data;
	return 0;
}

static inline int drop_result(void **state)
{
	(void)state;
	run_result_free(&result);
	return 0;
}

static inline json_t *thermal(void)
{
	return parse("{'celsius': 51.5, 'throttled': false, 'throttled_bits': '0x0',"
		     " 'mhz': null}");
}

static inline json_t *replicate_new(void)
{
	json_t *r = results_replicate(&config, &result, 3, 2, thermal(), thermal());

	assert_non_null(r);
	return r;
}

/* What stands at "run.usage.syncs". */
static inline json_t *at(const json_t *o, const char *path)
{
	char name[64];

	for (; *path; path += *path == '.') {
		size_t n = strcspn(path, ".");

		assert_true(n < sizeof(name));
		memcpy(name, path, n);
		name[n] = '\0';
		o = json_object_get(o, name);
		path += n;
	}
	return (json_t *)o;
}

static inline void check_at(const json_t *o, const char *path, const char *json)
{
	char *is = json_dumps(at(o, path), JSON_ENCODE_ANY | JSON_COMPACT);

	if (!is || strcmp(is, json))
		fail_msg("%s is %s and not %s", path, is ? is : "missing", json);
	free(is);
}

/* ---- a set that holds it ---- */

static inline json_t *set_new(void)
{
	json_t *set = parse(
		"{ 'schema': 1, 'name': 'n', 'created': '2026-01-17T12:00:00Z',"
		"  'partial': false, 'profile': 'quick', 'inference': true, 'base': 'x',"
		"  'command': ['kvbench', 'bench'],"
		"  'fingerprint': { 'board': 'Raspberry Pi 5', 'cpu': null, 'cores': 4,"
		"    'memory_bytes': 8000000000, 'arch': 'aarch64', 'kernel': '6.6',"
		"    'os': 'Debian', 'page_size': 16384, 'governor': 'ondemand',"
		"    'mhz_max': 2400.5, 'filesystem': 'ext4', 'mount_options': 'rw',"
		"    'device': 'nvme0n1', 'device_rotational': false, 'compiler': 'gcc',"
		"    'cflags': '-O2', 'git': null, 'kvbench': '1', 'more': [1] },"
		"  'settings': { 'seed': 1, 'replicates': 3, 'memory_bytes': 1000,"
		"    'warmup_fraction': 0.1, 'seconds': null, 'order': 'shuffled',"
		"    'value_compressibility': 0.5 },"
		"  'workloads': [ { 'name': 'a', 'summary': 's',"
		"                   'properties': { 'recordcount': '1' } } ],"
		"  'engines': [ { 'label': 'x', 'name': 'x', 'kind': 'peer',"
		"    'available': true, 'reason': '', 'version': '1', 'summary': 's',"
		"    'tuning': 't', 'capabilities': ['ordered'],"
		"    'options': { 'memory_bytes': 7, 'mode': 'text' } } ],"
		"  'crossing': { 'null_ns': 150.5, 'records': 20000, 'rounds': 5, 'figures': ["
		"   { 'engine': 'x', 'way': 'ring', 'call': 'get of 64', 'user_ns': 100.5,"
		"     'kernel_ns': 120.5, 'ratio': 1.25 } ] },"
		"  'cells': [ { 'workload': 'a', 'engine': 'x', 'durability': 'none',"
		"    'records': 1, 'value_bytes': 1, 'threads': 1,"
		"    'target_ops_per_s': null, 'status': 'ok', 'reason': '',"
		"    'replicates': [] } ] }");

	json_array_append_new(
		json_object_get(json_array_get(json_object_get(set, "cells"), 0),
				"replicates"),
		replicate_new());
	return set;
}

#endif /* RESULT_SET_FIXTURE_H */
