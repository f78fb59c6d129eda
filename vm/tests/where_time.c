// SPDX-License-Identifier: MIT
/*
 * where_time.c - where does a command spend its time, kernel and program? A small profiler for a
 * machine that has no perf:
 *
 *	where_time COMMAND WORDS...
 *
 * The processor's timer (perf's software event cpu-clock) samples the instruction a thousand
 * times a second, in every thread of the command. Addresses in the kernel get their function's name from
 * /proc/kallsyms, all in the program are one line. Prints the share of each, the largest first.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_NS = 1000000, PAGES = 512, CPUS = 16, SHOWN = 40, NAME = 64 };

struct symbol {
	uint64_t address;
	char name[NAME];
	unsigned long hits;
};

static struct symbol *symbol;
static size_t symbols;
static unsigned long all, in_program;

struct buffer {
	int fd;
	struct perf_event_mmap_page *page;
};

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

static int by_hits(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return (y->hits > x->hits) - (y->hits < x->hits);
}

static int read_symbols(void)
{
	unsigned long long address;
	char name[256], module[64], line[512], kind;
	FILE *f = fopen("/proc/kallsyms", "r");
	size_t room = 0;
	int n;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		module[0] = '\0';
		n = sscanf(line, "%llx %c %255s [%63[^]]", &address, &kind, name, module);
		if (n < 3 || !address || !strchr("tTwW", kind))
			continue;
		if (symbols == room) {
			room = room ? room * 2 : 1 << 16;
			symbol = realloc(symbol, room * sizeof(*symbol));
			if (!symbol)
				return -ENOMEM;
		}
		symbol[symbols] = (struct symbol){ .address = address };
		snprintf(symbol[symbols++].name, NAME, "%.40s%s%s", name,
			 module[0] ? "  " : "", module);
	}
	fclose(f);
	qsort(symbol, symbols, sizeof(*symbol), by_address);
	return symbols ? 0 : -ENOENT;
}

static void count(uint64_t address, int kernel)
{
	size_t low = 0, high = symbols, middle;

	all++;
	if (!kernel) {
		in_program++;
		return;
	}
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (symbol[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	symbol[low].hits++;
}

/* An event for each processor, of the command and its threads. */
static int begin(struct buffer *b, pid_t pid, int cpu)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(a),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_IP,
		.inherit = 1,
		.disabled = 1,
		.enable_on_exec = 1,
	};

	b->fd = (int)syscall(SYS_perf_event_open, &a, pid, cpu, -1, 0);
	if (b->fd < 0)
		return -errno;
	b->page = mmap(NULL, (1 + PAGES) * (size_t)getpagesize(), PROT_READ | PROT_WRITE,
		       MAP_SHARED, b->fd, 0);
	return b->page == MAP_FAILED ? -errno : 0;
}

static void drain(struct buffer *b)
{
	uint64_t head = __atomic_load_n(&b->page->data_head, __ATOMIC_ACQUIRE),
		 tail = b->page->data_tail;
	uint64_t mask = (uint64_t)PAGES * (uint64_t)getpagesize() - 1;
	const char *data = (const char *)b->page + getpagesize();
	struct perf_event_header h;
	uint64_t address;

	while (tail < head) {
		/* Records are of eight bytes or a multiple, so none of these is cut. */
		memcpy(&h, data + (tail & mask), sizeof(h));
		memcpy(&address, data + ((tail + sizeof(h)) & mask), sizeof(address));
		if (h.type == PERF_RECORD_SAMPLE)
			count(address, (h.misc & PERF_RECORD_MISC_CPUMODE_MASK) ==
					       PERF_RECORD_MISC_KERNEL);
		tail += h.size;
	}
	__atomic_store_n(&b->page->data_tail, tail, __ATOMIC_RELEASE);
}

static void show(void)
{
	size_t i;

	if (!all) {
		printf("no samples: the command was too short\n");
		return;
	}
	qsort(symbol, symbols, sizeof(*symbol), by_hits);
	printf("%lu samples\n%5.1f %%  (the program)\n", all,
	       100.0 * (double)in_program / (double)all);
	for (i = 0; i < SHOWN && i < symbols && symbol[i].hits; i++)
		printf("%5.1f %%  %s\n", 100.0 * (double)symbol[i].hits / (double)all,
		       symbol[i].name);
}

static pid_t start(char **argv, int go[2])
{
	pid_t pid = fork();
	char c;

	if (pid)
		return pid;
	close(go[1]);
	if (read(go[0], &c, 1) == 1)
		execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	static struct buffer buffer[CPUS];
	const struct timespec pause = { 0, 100000000 };
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), error, go[2], status, i;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: where_time COMMAND WORDS...\n");
		return 2;
	}
	error = read_symbols();
	if (!error && pipe(go))
		error = -errno;
	if (error) {
		fprintf(stderr, "where_time: /proc/kallsyms: %s\n", strerror(-error));
		return 1;
	}
	cpus = cpus < CPUS ? cpus : CPUS;
	pid = start(argv + 1, go);
	for (i = 0; i < cpus && !error; i++)
		error = pid < 0 ? -EAGAIN : begin(&buffer[i], pid, i);
	if (error) {
		fprintf(stderr, "where_time: no samples: %s\n", strerror(-error));
		return 1;
	}
	if (write(go[1], "", 1) != 1)
		return 1;
	do {
		nanosleep(&pause, NULL);
		for (i = 0; i < cpus; i++)
			drain(&buffer[i]);
	} while (!waitpid(pid, &status, WNOHANG));
	for (i = 0; i < cpus; i++)
		drain(&buffer[i]);
	show();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
