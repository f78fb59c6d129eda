/* SPDX-License-Identifier: MIT */
/*
 * fingerprint.c - see fingerprint.h. Everything is read from files that a plain user may
 * read; what is not there is null, never guessed.
 */
#include "fingerprint.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef KVBENCH_CFLAGS
#define KVBENCH_CFLAGS "unknown"
#endif
#ifndef KVBENCH_GIT
#define KVBENCH_GIT ""
#endif
#define KVBENCH_VERSION "0.1"

/* ---- reading ---- */

/* The first line of a file, without blanks at its end. False when there is none. */
static bool first_line(const char *path, char *out, size_t n)
{
	FILE *f = fopen(path, "re");
	size_t len;

	out[0] = '\0';
	if (!f)
		return false;
	if (!fgets(out, (int)n, f))
		out[0] = '\0';
	(void)fclose(f);
	len = strlen(out);
	while (len && (out[len - 1] == '\n' || out[len - 1] == ' '))
		out[--len] = '\0';
	return len > 0;
}

/* The value of "name : value" or "name=value" in a file of such lines. */
static bool named_line(const char *path, const char *name, char *out, size_t n)
{
	char line[512];
	size_t len = strlen(name);
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		char *p = line + len;

		if (strncmp(line, name, len))
			continue;
		p += strspn(p, " \t");
		if (*p != ':' && *p != '=')
			continue;
		p += 1 + strspn(p + 1, " \t\"");
		p[strcspn(p, "\"\n")] = '\0';
		(void)snprintf(out, n, "%s", p);
		found = true;
	}
	(void)fclose(f);
	return found;
}

static json_t *text_or_null(bool known, const char *text)
{
	/* Board names come from firmware: json_string() refuses what is not UTF-8. */
	json_t *s = known ? json_string(text) : NULL;

	return s ? s : json_null();
}

static json_t *file_text(const char *path)
{
	char text[256];
	bool known = first_line(path, text, sizeof(text));

	return text_or_null(known, text);
}

/* ---- the machine ---- */

static json_t *board(void)
{
	char text[256];

	if (first_line("/proc/device-tree/model", text, sizeof(text)))
		return text_or_null(true, text);
	return file_text("/sys/class/dmi/id/product_name");
}

struct arm_part {
	const char *part, *name;
};

/* arm64 kernels give numbers; these are the cores of Raspberry Pis and of common servers. */
static const char *arm_part_name(const char *part)
{
	static const struct arm_part known[] = {
		{ "0xd03", "Cortex-A53" },  { "0xd07", "Cortex-A57" },
		{ "0xd08", "Cortex-A72" },  { "0xd0b", "Cortex-A76" },
		{ "0xd0c", "Neoverse-N1" }, { "0xd40", "Neoverse-V1" },
		{ "0xd49", "Neoverse-N2" },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(part, known[i].part))
			return known[i].name;
	return part;
}

static json_t *cpu(void)
{
	char text[256];

	if (named_line("/proc/cpuinfo", "model name", text, sizeof(text)))
		return text_or_null(true, text);
	if (named_line("/proc/cpuinfo", "CPU part", text, sizeof(text)))
		return json_string(arm_part_name(text));
	return json_null();
}

static json_t *mhz(const char *path)
{
	char text[64];

	if (!first_line(path, text, sizeof(text)))
		return json_null();
	return json_real(strtod(text, NULL) / 1000);
}

static json_t *os_name(void)
{
	char text[256];
	bool known = named_line("/etc/os-release", "PRETTY_NAME", text, sizeof(text));

	return text_or_null(known, text);
}

/* ---- the file system that dir lies on ---- */

struct mount {
	bool found;
	char type[64], source[256], options[256];
};

/* /proc/self/mountinfo: id parent major:minor root point options ... - type source super */
static void find_mount(const char *dir, struct mount *m)
{
	char line[2048];
	struct stat st;
	FILE *f;

	memset(m, 0, sizeof(*m));
	if (stat(dir, &st))
		return;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		unsigned int id, parent, maj, min;
		char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%u %u %u:%u", &id, &parent, &maj, &min) != 4)
			continue;
		if (maj != major(st.st_dev) || min != minor(st.st_dev))
			continue;
		if (sscanf(line, "%*u %*u %*s %*s %*s %255s", m->options) == 1 &&
		    sscanf(dash + 3, "%63s %255s", m->type, m->source) == 2)
			m->found = true;
	}
	(void)fclose(f);
}

/* A partition's queue is its disk's. */
static json_t *rotational(const char *dir)
{
	char path[128], text[16];
	struct stat st;

	if (stat(dir, &st))
		return json_null();
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/rotational",
		       major(st.st_dev), minor(st.st_dev));
	if (!first_line(path, text, sizeof(text))) {
		(void)snprintf(path, sizeof(path),
			       "/sys/dev/block/%u:%u/../queue/rotational",
			       major(st.st_dev), minor(st.st_dev));
		if (!first_line(path, text, sizeof(text)))
			return json_null();
	}
	return json_boolean(text[0] == '1');
}

static const char *compiler(void)
{
#if defined(__clang__)
	return "clang " __clang_version__;
#else
	return "gcc " __VERSION__;
#endif
}

json_t *fingerprint_json(const char *dir)
{
	static const char cpufreq[] = "/sys/devices/system/cpu/cpu0/cpufreq/";
	struct utsname u;
	struct sysinfo s;
	struct mount m;
	char path[128];
	json_t *f = json_object();

	(void)uname(&u);
	(void)sysinfo(&s);
	find_mount(dir, &m);
	json_object_set_new(f, "board", board());
	json_object_set_new(f, "cpu", cpu());
	json_object_set_new(f, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(
		f, "memory_bytes",
		json_integer((json_int_t)s.totalram * (json_int_t)s.mem_unit));
	json_object_set_new(f, "arch", json_string(u.machine));
	json_object_set_new(f, "kernel", json_string(u.release));
	json_object_set_new(f, "os", os_name());
	json_object_set_new(f, "page_size", json_integer(sysconf(_SC_PAGESIZE)));
	(void)snprintf(path, sizeof(path), "%sscaling_governor", cpufreq);
	json_object_set_new(f, "governor", file_text(path));
	(void)snprintf(path, sizeof(path), "%scpuinfo_max_freq", cpufreq);
	json_object_set_new(f, "mhz_max", mhz(path));
	json_object_set_new(f, "filesystem", text_or_null(m.found, m.type));
	json_object_set_new(f, "mount_options", text_or_null(m.found, m.options));
	json_object_set_new(f, "device", text_or_null(m.found, m.source));
	json_object_set_new(f, "device_rotational", rotational(dir));
	json_object_set_new(f, "compiler", json_string(compiler()));
	json_object_set_new(f, "cflags", json_string(KVBENCH_CFLAGS));
	json_object_set_new(f, "git", text_or_null(KVBENCH_GIT[0] != '\0', KVBENCH_GIT));
	json_object_set_new(f, "kvbench", json_string(KVBENCH_VERSION));
	return f;
}

/* ---- heat ---- */

json_t *fingerprint_thermal_json(void)
{
	/* The firmware's bits: 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft
	 * temperature limit; 16..19 the same since boot. */
	static const char throttled[] =
		"/sys/devices/platform/soc/soc:firmware/get_throttled";
	char text[64];
	json_t *t = json_object();
	bool known;

	if (first_line("/sys/class/thermal/thermal_zone0/temp", text, sizeof(text)))
		json_object_set_new(t, "celsius", json_real(strtod(text, NULL) / 1000));
	else
		json_object_set_new(t, "celsius", json_null());
	known = first_line(throttled, text, sizeof(text));
	json_object_set_new(t, "throttled",
			    known ? json_boolean(strtoul(text, NULL, 16) & 0xf)
				  : json_null());
	json_object_set_new(t, "throttled_bits", text_or_null(known, text));
	json_object_set_new(t, "mhz",
			    mhz("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"));
	return t;
}
