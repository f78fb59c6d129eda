// SPDX-License-Identifier: MIT
/*
 * note_tool.c - asks /dev/note what the shell can't: note_tool info | clear | read.
 *
 *   note_tool fail N info|clear|read
 *
 * lets the Nth allocation fail that the kernel makes for it meanwhile, where the kernel has
 * fault injection: ends with 3 when there was no Nth one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../module/note_ioctl.h"

enum { EXIT_NO_FAULT = 3 };

static int ask(int device, const char *what)
{
	static struct note_info info;
	static char text[NOTE_MAX_BYTES];

	if (!strcmp(what, "info")) {
		if (ioctl(device, NOTE_INFO, &info))
			return -errno;
		printf("%u bytes of %u, written %llu times\n", info.bytes, info.capacity,
		       (unsigned long long)info.writes);
		return 0;
	}
	if (!strcmp(what, "clear"))
		return ioctl(device, NOTE_CLEAR) ? -errno : 0;
	if (!strcmp(what, "read")) {
		ssize_t n = read(device, text, sizeof(text));

		if (n < 0)
			return -errno;
		fwrite(text, 1, (size_t)n, stdout);
		return 0;
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	char nth[16] = "0";
	int device, faults = -1, error;

	setvbuf(stdout, malloc(8192), _IOFBF,
		8192); /* no output while a fault is waiting */
	device = open("/dev/note", O_RDWR);
	if (device < 0) {
		perror("note_tool: /dev/note");
		return 1;
	}
	if (argc == 4 && !strcmp(argv[1], "fail")) {
		snprintf(nth, sizeof(nth), "%d", atoi(argv[2]));
		faults = open("/proc/self/fail-nth", O_RDWR);
		if (faults < 0 || write(faults, nth, strlen(nth)) < 0) {
			perror("note_tool: /proc/self/fail-nth");
			return 1;
		}
	} else if (argc != 2) {
		fprintf(stderr, "usage: note_tool [fail N] info|clear|read\n");
		return 2;
	}
	error = ask(device, argv[argc - 1]);
	if (faults >= 0) {
		memset(nth, 0, sizeof(nth));
		if (pread(faults, nth, sizeof(nth) - 1, 0) < 0)
			perror("note_tool: /proc/self/fail-nth");
		if (atoi(nth) > 0 && pwrite(faults, "0", 1, 0) == 1)
			return EXIT_NO_FAULT;
	}
	if (error && faults < 0)
		fprintf(stderr, "note_tool: %s: %s\n", argv[argc - 1], strerror(-error));
	return error ? 1 : 0;
}
