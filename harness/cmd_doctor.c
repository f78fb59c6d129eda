/* SPDX-License-Identifier: MIT */
/*
 * cmd_doctor.c - kvbench doctor: is this machine fit to measure on?
 */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "engines.h"
#include "measure/clock.h"
#include "measure/fingerprint.h"
#include "measure/perf_counters.h"

enum verdict { GOOD, NOTE, BAD }; /* BAD: measuring makes no sense */

static enum verdict worst;

static void say(enum verdict v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(enum verdict v, const char *fmt, ...)
{
	static const char *const mark[] = { "ok  ", "note", "BAD " };
	va_list ap;

	worst = v > worst ? v : worst;
	printf("%s  ", mark[v]);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static const char *text(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void check_processor(const json_t *f)
{
	const char *governor = text(f, "governor");
	double load[1] = { 0 };

	clock_init();
	say(GOOD, "%s, %lld cores, %s %s; latencies by %s",
	    text(f, "cpu") ? text(f, "cpu") : "unknown CPU",
	    (long long)json_integer_value(json_object_get(f, "cores")), text(f, "arch"),
	    text(f, "kernel"), clock_name());
	if (!governor)
		say(NOTE,
		    "the CPU's frequency governor can't be read (a virtual machine?)");
	else if (strcmp(governor, "performance"))
		say(NOTE,
		    "governor is %s: `sudo cpupower frequency-set -g performance` steadies it",
		    governor);
	else
		say(GOOD, "governor is performance");
	if (getloadavg(load, 1) == 1 && load[0] > 0.5)
		say(NOTE, "load average is %.2f: something else runs here", load[0]);
}

static void check_heat(void)
{
	json_t *t = fingerprint_thermal_json();
	const json_t *celsius = json_object_get(t, "celsius");

	if (json_is_true(json_object_get(t, "throttled")))
		say(BAD, "the board throttles itself (%s): better power or cooling first",
		    text(t, "throttled_bits"));
	if (json_is_number(celsius))
		say(json_number_value(celsius) > 70 ? NOTE : GOOD, "%.0f degrees Celsius",
		    json_number_value(celsius));
	json_decref(t);
}

static void check_storage(const char *dir, const json_t *f)
{
	struct statvfs st;
	const char *type = text(f, "filesystem");
	double gb;

	if (access(dir, W_OK) || statvfs(dir, &st)) {
		say(BAD, "%s cannot be written to: %s. Give another --dir", dir,
		    strerror(errno));
		return;
	}
	gb = (double)st.f_bavail * (double)st.f_frsize * 1e-9;
	say(gb < 1 ? BAD : GOOD, "%.1f GB free in %s", gb, dir);
	if (type && (!strcmp(type, "tmpfs") || !strcmp(type, "ramfs")))
		say(NOTE, "%s is memory (%s): syncs cost nothing there", dir, type);
	else if (type && !strcmp(type, "overlay"))
		say(NOTE, "%s lies on an overlay: measure on a real file system", dir);
	else
		say(GOOD, "file system %s on %s", type ? type : "unknown",
		    text(f, "device") ? text(f, "device") : "an unknown device");
}

static void check_counters(void)
{
	struct perf_group *g = perf_group_open();
	struct perf_values v;

	perf_group_read(g, &v);
	if (v.hardware)
		say(GOOD, "hardware counters work");
	else
		say(NOTE, "%s; reports have software counters", v.note);
	perf_group_close(g);
}

static void check_memory(void)
{
	struct sysinfo s;

	if (!sysinfo(&s))
		say((double)s.totalram * s.mem_unit < 900e6 ? NOTE : GOOD,
		    "%.1f GB memory, %.1f GB swap",
		    (double)s.totalram * s.mem_unit * 1e-9,
		    (double)s.totalswap * s.mem_unit * 1e-9);
}

static void check_homes(void)
{
	struct kv_msg why = { "" };
	struct env *env;

	if (engines_home("uring", &env, &why))
		say(NOTE, "%s", why.text);
	else
		say(GOOD, "io_uring works: engines of ours run on it as NAME@uring");
}

static void check_programs(void)
{
	const struct engine_info *e;
	size_t i;

	if (system("command -v gnuplot >/dev/null 2>&1"))
		say(NOTE,
		    "no gnuplot: reports will have no pictures (apt install gnuplot-nox)");
	else
		say(GOOD, "gnuplot is there");
	for (i = 0; (e = engines_get(i)); i++)
		if (!e->ops)
			say(NOTE, "engine %s is missing (apt install %s, then make)",
			    e->name, e->package);
}

int cmd_doctor(int argc, char **argv)
{
	const char *dir = ".";
	const struct cli_option options[] = {
		{ "dir", 0, CLI_TEXT, &dir, "DIR",
		  "where stores would be made; default: here" },
		{ 0 },
	};
	const struct cli_command command = {
		"doctor", "[--dir DIR]",
		"Looks at what makes measurements here good or bad.",
		"Exits 1 only where measuring makes no sense.", options
	};
	int parsed = cli_parse(&command, argc, argv, NULL);
	json_t *f;

	if (parsed != CLI_OK)
		return parsed == CLI_DONE ? EXIT_OK : EXIT_USAGE;
	f = fingerprint_json(dir);
	check_processor(f);
	check_heat();
	check_memory();
	check_storage(dir, f);
	check_counters();
	check_homes();
	check_programs();
	json_decref(f);
	return worst == BAD ? EXIT_FAILED : EXIT_OK;
}
