/* SPDX-License-Identifier: MIT */
/*
 * vmwatch.c - runs QEMU, shows what the machine's command prints, and ends with its exit
 * code.
 *
 *   vmwatch -n NONCE -l LOG [-s SECONDS] [-b SECONDS] [-t SECONDS] [-c SECONDS] [-v] -- qemu-system-... ARGUMENTS
 *
 * The machine's serial console is QEMU's standard output. All of it goes to LOG. Between two
 * marks that the machine's init prints, it also goes to standard output; -v shows all.
 *
 *   @@vm:NONCE:begin        the command starts
 *   @@vm:NONCE:exit:CODE    it has ended, and nothing comes after it
 *
 * A line on the console is what every machine has, also one without virtio or x86's debug
 * ports. The number drawn for each boot keeps a program from ending the machine by chance,
 * and init kills all others and silences the kernel before it prints the last mark, so that
 * nothing is written into the middle of it.
 *
 * -c cuts the power: QEMU is killed so long after the command began, which is what was wanted
 * and ends with 0.
 *
 * Ends with CODE; 123 when the command did not begin (nothing was said for -s seconds, or the boot took
 * longer than -b), 124 when -t seconds were over, 125 when the machine ended without a
 * code, 126 when QEMU could not be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define TAIL_BYTES     2048

enum { CODE_NO_BOOT = 123, CODE_LIMIT = 124, CODE_LOST = 125, CODE_NO_QEMU = 126 };

struct watch {
	/* constant after start */
	char begin_mark[80];
	char exit_mark[80];
	long silence_ms; /* while the command has not begun: longest wait for a byte */
	long boot_ms;    /* longest wait for the command's begin */
	long total_ms;
	long cut_ms; /* from the command's begin to the power cut; 0: none */
	bool verbose;
	pid_t qemu;
	int from_qemu;
	FILE *log;

	/* what was seen */
	bool begun;
	long begun_ms;
	bool ended;
	int code;
	char line[LINE_MAX_BYTES];
	size_t line_bytes;
	char tail[TAIL_BYTES];
	size_t tail_bytes;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Keeps the last bytes of what was not shown, for a boot that fails. */
static void tail_add(struct watch *w, const char *bytes, size_t n)
{
	if (n > TAIL_BYTES) {
		bytes += n - TAIL_BYTES;
		n = TAIL_BYTES;
	}
	if (w->tail_bytes + n > TAIL_BYTES) {
		size_t drop = w->tail_bytes + n - TAIL_BYTES;

		memmove(w->tail, w->tail + drop, w->tail_bytes - drop);
		w->tail_bytes -= drop;
	}
	memcpy(w->tail + w->tail_bytes, bytes, n);
	w->tail_bytes += n;
}

static void show(struct watch *w)
{
	if (w->begun || w->verbose)
		fwrite(w->line, 1, w->line_bytes, stdout);
	else
		tail_add(w, w->line, w->line_bytes);
	w->line_bytes = 0;
}

/* A whole line is in w->line. A mark may follow other text, which had no newline. */
static void take_line(struct watch *w)
{
	char *mark;

	w->line[w->line_bytes] = 0;
	mark = w->begun ? strstr(w->line, w->exit_mark) : strstr(w->line, w->begin_mark);
	if (!mark) {
		show(w);
		return;
	}
	if (w->begun) {
		w->code = atoi(mark + strlen(w->exit_mark));
		w->ended = true;
	}
	w->line_bytes = (size_t)(mark - w->line);
	show(w);
	if (!w->begun)
		w->begun_ms = now_ms();
	w->begun = true;
}

static void take_bytes(struct watch *w, const char *bytes, size_t n)
{
	fwrite(bytes, 1, n, w->log);
	for (size_t i = 0; i < n && !w->ended; i++) {
		if (bytes[i] == '\r' || bytes[i] == 0)
			continue;
		w->line[w->line_bytes++] = bytes[i];
		if (bytes[i] == '\n' || w->line_bytes == LINE_MAX_BYTES - 1)
			take_line(w);
	}
	fflush(stdout);
	fflush(w->log); /* gdb.sh reads it meanwhile */
}

/* Reads until the code, the end of QEMU, or a limit. Returns what to end with. */
static int watch_run(struct watch *w)
{
	long start = now_ms(), heard = start;
	char bytes[4096];

	while (!w->ended) {
		struct pollfd p = { .fd = w->from_qemu, .events = POLLIN };
		long now = now_ms(), left = start + w->total_ms - now;
		ssize_t n;

		if (interrupted)
			return 128 + interrupted;
		if (w->cut_ms && w->begun) {
			long until_cut = w->begun_ms + w->cut_ms - now;

			if (until_cut <= 0)
				return 0;
			if (until_cut < left)
				left = until_cut;
		}
		if (left <= 0) {
			fprintf(stderr, "vmwatch: the machine was not done after %ld s\n",
				w->total_ms / 1000);
			return CODE_LIMIT;
		}
		if (!w->begun && heard + w->silence_ms - now < left)
			left = heard + w->silence_ms - now;
		if (left <= 0) {
			fprintf(stderr, "vmwatch: the machine said nothing for %ld s\n",
				w->silence_ms / 1000);
			return CODE_NO_BOOT;
		}
		if (!w->begun && start + w->boot_ms - now < left)
			left = start + w->boot_ms - now;
		if (left <= 0) {
			fprintf(stderr,
				"vmwatch: the machine had not come up after %ld s\n",
				w->boot_ms / 1000);
			return CODE_NO_BOOT;
		}
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(w->from_qemu, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		heard = now_ms();
		take_bytes(w, bytes, (size_t)n);
	}
	if (w->ended)
		return w->code;
	show(w);
	fprintf(stderr, "vmwatch: the machine ended without an exit code\n");
	return CODE_LOST;
}

static int qemu_start(struct watch *w, char **command)
{
	int out[2];

	if (pipe(out))
		return -errno;
	w->qemu = fork();
	if (w->qemu < 0)
		return -errno;
	if (w->qemu == 0) {
		int null = open("/dev/null", O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0); /* Ctrl-C is for vmwatch, which ends QEMU */
		dup2(null, 0);
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execvp(command[0], command);
		fprintf(stderr, "vmwatch: %s: %s\n", command[0], strerror(errno));
		_exit(CODE_NO_QEMU);
	}
	close(out[1]);
	w->from_qemu = out[0];
	return 0;
}

/* QEMU may leave by itself, for the machine switches itself off; it has no longer to live. */
static int qemu_stop(struct watch *w, int code)
{
	int status = 0;

	if (!w->ended || waitpid(w->qemu, &status, WNOHANG) != w->qemu) {
		kill(w->qemu, SIGKILL);
		waitpid(w->qemu, &status, 0);
	}
	if (code == CODE_LOST && WIFEXITED(status) && WEXITSTATUS(status) == CODE_NO_QEMU)
		return CODE_NO_QEMU;
	return code;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: vmwatch -n NONCE -l LOG [-s SILENT_SECONDS] "
		"[-b BOOT_SECONDS] [-t SECONDS] [-c SECONDS] [-v] -- qemu ARGUMENTS\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct watch w = { .silence_ms = 60000, .boot_ms = 600000, .total_ms = 600000 };
	const char *nonce = NULL, *log_path = NULL;
	int option, code;

	while ((option = getopt(argc, argv, "+n:l:s:b:t:c:v")) != -1) {
		if (option == 'n')
			nonce = optarg;
		else if (option == 'l')
			log_path = optarg;
		else if (option == 's')
			w.silence_ms = atol(optarg) * 1000;
		else if (option == 'b')
			w.boot_ms = atol(optarg) * 1000;
		else if (option == 't')
			w.total_ms = atol(optarg) * 1000;
		else if (option == 'c')
			w.cut_ms = (long)(atof(optarg) * 1000);
		else if (option == 'v')
			w.verbose = true;
		else
			return usage();
	}
	if (!nonce || !log_path || optind == argc || w.silence_ms <= 0 ||
	    w.boot_ms <= 0 || w.total_ms <= 0)
		return usage();
	snprintf(w.begin_mark, sizeof(w.begin_mark), "@@vm:%s:begin\n", nonce);
	snprintf(w.exit_mark, sizeof(w.exit_mark), "@@vm:%s:exit:", nonce);
	w.log = fopen(log_path, "w");
	if (!w.log) {
		fprintf(stderr, "vmwatch: %s: %s\n", log_path, strerror(errno));
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	code = qemu_start(&w, argv + optind);
	if (code) {
		fprintf(stderr, "vmwatch: no process for QEMU: %s\n", strerror(-code));
		return CODE_NO_QEMU;
	}
	code = qemu_stop(&w, watch_run(&w));
	if (!w.begun && !w.verbose && w.tail_bytes) {
		fprintf(stderr, "vmwatch: its last words (all are in %s):\n", log_path);
		fwrite(w.tail, 1, w.tail_bytes, stderr);
	}
	fclose(w.log);
	return code;
}
