/* SPDX-License-Identifier: MIT */
/*
 * check.c - grades exercise 1.7: builds the lab by the learner's Makefile in a folder of its
 * own, changes files in it, and looks at what is built again.
 */
#include "../../../harness/learn/learn.h"

#include <sys/wait.h>
#include <unistd.h>

#define LAB     "sprint-1-core-memory/exercises/1.7-build/lab"
#define CHAPTER "docs/sprint-1-core-memory.md, \"What is built when\""
#define GDB     "Debugging with GDB, \"Setting Watchpoints\" and \"Breakpoint Command Lists\""

static char folder[64], output[1 << 16];

/* Runs a command of the shell in the lab; what it prints is in output. */
static int run(const char *command)
{
	char line[1024];
	size_t n;
	FILE *p;
	int status;

	snprintf(line, sizeof(line), "cd %s && unset MAKEFLAGS CC B; { %s; } 2>&1",
		 folder, command);
	p = popen(line, "r");
	assert_non_null(p);
	n = fread(output, 1, sizeof(output) - 1, p);
	output[n] = '\0';
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static const char *last_line(void)
{
	char *end = output + strlen(output);

	while (end > output && end[-1] == '\n')
		*--end = '\0';
	while (end > output && end[-1] != '\n')
		end--;
	return *end ? end : "nothing";
}

static void must(const char *command, const char *why)
{
	int code = run(command);

	learn_expect(!code, learn_text("\"%s\" ends well%s", command, why),
		     "exit code %d: %s", code, last_line());
}

/* LEARN_TREE is the tree of links in which the learner's files stand. */
static void begin(void)
{
	const char *tree = getenv("LEARN_TREE");
	char line[512];

	snprintf(folder, sizeof(folder), "/tmp/learn-build-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(line, sizeof(line), "cp -rL %s/" LAB "/. %s/ && rm -rf %s/build",
		 tree ? tree : ".", folder, folder);
	assert_int_equal(system(line), 0);
}

static void end(void)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -rf %s", folder);
	assert_int_equal(system(line), 0);
}

static bool rebuilt(const char *object)
{
	return strstr(output, learn_text("-o build/debug/%s", object)) != NULL;
}

/* All files get the same age, so that only what is touched then is newer. */
static void age(void)
{
	must("find . -exec touch -d '1 hour ago' {} +", "");
}

static void test_it_builds_and_runs(void **state)
{
	(void)state;
	begin();
	must("make", "");
	must("build/debug/words 'a store of words'", "");
	learn_expect(strstr(output, "words: 4") != NULL,
		     "the program counts the words of \"a store of words\"", "%s",
		     last_line());
	end();
}

static void test_a_second_make_does_nothing(void **state)
{
	(void)state;
	begin();
	must("make", "");
	run("make");
	learn_expect(!strstr(output, " -o "), "a second make compiles and links nothing",
		     "%s", last_line());
	end();
}

static void test_warnings_are_on(void **state)
{
	(void)state;
	begin();
	must("echo 'int two(int unused) { int idle = 2; return 2; }' >>version.c", "");
	run("make");
	learn_expect(strstr(output, "idle") != NULL,
		     "the compiler warns of a variable that is not used (-Wall)",
		     "no warning");
	learn_expect(strstr(output, "unused-parameter") != NULL,
		     "the compiler warns of a parameter that is not used (-Wextra)",
		     "no warning");
	end();
}

static void test_a_debugger_finds_lines(void **state)
{
	(void)state;
	begin();
	must("make", "");
	run("readelf -S build/debug/words");
	learn_expect(strstr(output, ".debug_line") != NULL,
		     "build/debug/words has debug information (-g)", "none");
	end();
}

static void test_a_changed_header_rebuilds_what_includes_it(void **state)
{
	static const char *const object[] = { "main.o", "words.o", "report.o",
					      "version.o" };
	static const struct {
		const char *header;
		bool rebuilds[4];
	} row[] = {
		{ "report.h", { true, false, true, false } },
		{ "words.h", { true, true, true, false } },
	};
	size_t i, k;

	(void)state;
	begin();
	must("make", "");
	for (i = 0; i < 2; i++) {
		age();
		must(learn_text("touch %s && make", row[i].header), "");
		for (k = 0; k < 4; k++)
			learn_expect(rebuilt(object[k]) == row[i].rebuilds[k],
				     learn_text("after a change of %s, %s is %s",
						row[i].header, object[k],
						row[i].rebuilds[k] ? "compiled again"
								   : "left as it is"),
				     "it is %s", rebuilt(object[k]) ? "compiled" : "not");
		learn_expect(strstr(output, "-o build/debug/words ") ||
				     strstr(output, "-o build/debug/words\n"),
			     "the program is linked again", "it is not");
	}
	end();
}

static void test_a_header_that_went_does_no_harm(void **state)
{
	(void)state;
	begin();
	must("make", "");
	must("sed -i 's/report.h/words.h/' main.c report.c && rm report.h && "
	     "echo 'void report_print(const struct words *w);' >>words.h",
	     "");
	must("make", ", though report.h is gone and nothing includes it");
	end();
}

static void test_sanitizers_have_a_build_of_their_own(void **state)
{
	int code;

	(void)state;
	begin();
	must("make && make B=asan", "");
	code = run("build/asan/words");
	learn_expect(strstr(output, "out of bounds") || strstr(output, "overflow"),
		     "build/asan/words says where it writes out of bounds",
		     "exit code %d: %s", code, last_line());
	must("build/debug/words", "");
	learn_expect(!strstr(output, "out of bounds"),
		     "build/debug/words is as it was, without sanitizers",
		     "it has them too");
	end();
}

static void test_gdb_names_the_line_that_writes(void **state)
{
	unsigned int line;

	(void)state;
	if (system("command -v gdb >/dev/null"))
		skip();
	begin();
	must("make", "");
	must("grep -n 'of_length\\[length - 1\\]++' words.c", "");
	line = (unsigned int)strtoul(output, NULL, 10);
	run("DEBUGINFOD_URLS= timeout 30 gdb -q -nx -batch -x find_bug.gdb "
	    "build/debug/words </dev/null");
	learn_expect(strstr(output, learn_text("words.c:%u", line)) != NULL,
		     "what gdb prints names the line of words.c that writes to the total "
		     "though it should not",
		     "%s", last_line());
	learn_expect(!strstr(output, "Error in sourced command file"),
		     "the script runs to its end without an error", "%s", last_line());
	end();
}

static const struct learn_test tests[] = {
	LEARN_TEST(test_it_builds_and_runs, 2, CHAPTER),
	LEARN_TEST(test_a_second_make_does_nothing, 1, CHAPTER),
	LEARN_TEST(test_warnings_are_on, 1, LAB "/Makefile"),
	LEARN_TEST(test_a_debugger_finds_lines, 1, LAB "/Makefile"),
	LEARN_TEST(test_a_changed_header_rebuilds_what_includes_it, 3, CHAPTER),
	LEARN_TEST(test_a_header_that_went_does_no_harm, 2, CHAPTER),
	LEARN_TEST(test_sanitizers_have_a_build_of_their_own, 2, CHAPTER),
	LEARN_TEST(test_gdb_names_the_line_that_writes, 3, GDB),
};

LEARN_MAIN_NO_SPEED(tests)
