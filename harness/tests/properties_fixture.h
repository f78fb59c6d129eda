/* SPDX-License-Identifier: MIT */
/*
 * properties_fixture.h - a text read as a workload file, and a workload printed as one.
 */
#ifndef PROPERTIES_FIXTURE_H
#define PROPERTIES_FIXTURE_H

#include "workload_fixture.h"

#include <fcntl.h>
#include <unistd.h>

struct file {
	char path[64];
};

static inline struct file file_of(const char *text, size_t len)
{
	struct file f = { "/tmp/kvbench-properties-XXXXXX" };
	int fd = mkstemp(f.path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
	return f;
}

/* Reads text as a workload file; *why starts with "path:" where it is about a line, and
 * that much is cut off, so that "line: what" is left. */
static inline int read_text(const char *text, struct workload *w, struct kv_msg *why)
{
	struct file f = file_of(text, strlen(text));
	int error;

	why->text[0] = '\0';
	error = workload_read_file(f.path, w, why);
	assert_int_equal(unlink(f.path), 0);
	if (error) {
		size_t n = strlen(f.path);

		assert_memory_equal(why->text, f.path, n);
		assert_int_equal(why->text[n], ':');
		memmove(why->text, why->text + n + 1, strlen(why->text + n + 1) + 1);
	}
	return error;
}

static inline void check_and_print(struct workload *w, struct kv_buf *out)
{
	struct kv_msg why;

	if (workload_check(w, &why))
		fail_msg("%s", why.text);
	out->len = 0;
	assert_int_equal(workload_print(w, out), 0);
	assert_int_equal(kv_buf_append(out, "", 1), 0);
}

#endif /* PROPERTIES_FIXTURE_H */
