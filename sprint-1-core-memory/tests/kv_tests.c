/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * kv_tests.c - what kv.c gives everybody: slices, buffers, messages, and options by name
 * up to the engine's open().
 */
#include "../kv_inspect.h"
#include "core_random.h"
#include "leak_check.h"

#define BYTES(s) kv_slice("" s, sizeof(s) - 1)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- an engine that opens, and notes with what ---- */

enum { OPT_SIZE, OPT_LEVELS, OPT_POLICY, OPT_ANY, PROBE_OPTS };

static struct {
	struct kv base;
	unsigned int calls;
	int answer; /* what the next open returns */
	struct env *env;
	const char *dir;
	uint64_t opt[PROBE_OPTS];
	char said[64]; /* why->text as open found it */
} probe;

static int probe_open(struct env *env, const char *dir, const uint64_t *opt,
		      struct kv **out, struct kv_msg *why)
{
	probe.calls++;
	if (why)
		snprintf(probe.said, sizeof(probe.said), "%.60s", why->text);
	if (probe.answer)
		return kv_fail(why, probe.answer, "probe: told to fail");
	memcpy(probe.opt, opt, sizeof(probe.opt));
	probe.env = env;
	probe.dir = dir;
	*out = &probe.base;
	return 0;
}

static const struct kv_opt probe_opts[] = {
	[OPT_SIZE] = { "cache_bytes", "", NULL, 4096, 1024, 1u << 20 },
	[OPT_LEVELS] = { "levels", "", NULL, 7, 1, 10 },
	[OPT_POLICY] = { "policy", "", "tiered|leveled|lazy", 1, 0, 2 },
	[OPT_ANY] = { "any", "", NULL, 0, 0, UINT64_MAX },
	[PROBE_OPTS] = { 0 },
};

static const struct kv_ops probe_ops = {
	.name = "probe",
	.opts = probe_opts,
	.open = probe_open,
};

/* open was refused before it reached the engine. */
#define EXPECT_REFUSED(call)                      \
	do {                                      \
		probe.calls = 0;                  \
		assert_int_equal(call, -EINVAL);  \
		assert_int_equal(probe.calls, 0); \
	} while (0)

static int set_up(void **state)
{
	core_random_start();
	memset(&probe, 0, sizeof(probe));
	return leak_check_set_up(state);
}

/* ---- slices ---- */

static void test_str_is_without_its_final_nul(void **state)
{
	const char *text = "seven ";

	(void)state;
	assert_int_equal(kv_str(text).len, 6);
	assert_ptr_equal(kv_str(text).data, text);
	assert_int_equal(kv_str("").len, 0);
}

static int sign(int c)
{
	return (c > 0) - (c < 0);
}

static void test_compare_is_by_unsigned_bytes_then_by_length(void **state)
{
	const struct kv_slice ascending[] = {
		{ NULL, 0 },       BYTES("\x00"),     BYTES("\x00\x00"),
		BYTES("\x00\x01"), BYTES("\x01"),     BYTES("A"),
		BYTES("a"),        BYTES("a\x00"),    BYTES("a\x00\xff"),
		BYTES("aa"),       BYTES("ab"),       BYTES("b"),
		BYTES("\x7f"),     BYTES("\x80"),     BYTES("\xfe\xff"),
		BYTES("\xff"),     BYTES("\xff\x00"), BYTES("\xff\xff")
	};
	int i, j, n = COUNT(ascending);

	(void)state;
	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			assert_int_equal(sign(kv_compare(ascending[i], ascending[j])),
					 sign(i - j));
	assert_int_equal(kv_compare(kv_slice(NULL, 0), BYTES("")), 0);
}

static void test_compare_is_a_total_order(void **state)
{
	uint8_t byte[3][4];
	struct kv_slice s[3];
	int round, i;

	(void)state;
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < 3; i++) {
			size_t at = 0, len = core_random_below(5);

			for (; at < len; at++)
				byte[i][at] = (uint8_t)(core_random_below(3) * 127);
			s[i] = kv_slice(byte[i], len);
		}
		assert_int_equal(sign(kv_compare(s[0], s[1])),
				 -sign(kv_compare(s[1], s[0])));
		assert_int_equal(kv_compare(s[0], s[0]), 0);
		if (kv_compare(s[0], s[1]) <= 0 && kv_compare(s[1], s[2]) <= 0)
			assert_true(kv_compare(s[0], s[2]) <= 0);
	}
}

/* ---- buffers ---- */

static void test_buf_begins_and_ends_as_zeros(void **state)
{
	struct kv_buf b = { 0 }, zero = { 0 };

	(void)state;
	kv_buf_free(&b);
	assert_int_equal(kv_buf_set(&b, "abc", 3), 0);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "abc", 3);
	kv_buf_free(&b);
	assert_memory_equal(&b, &zero, sizeof(b));
	kv_buf_free(&b);
}

static void test_buf_reserve_keeps_content_and_never_shrinks(void **state)
{
	struct kv_buf b = { 0 };
	void *data;

	(void)state;
	assert_int_equal(kv_buf_reserve(&b, 0), 0);
	assert_null(b.data);
	assert_int_equal(kv_buf_set(&b, "content", 7), 0);
	assert_int_equal(kv_buf_reserve(&b, 5000), 0);
	assert_true(b.cap >= 5000);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.data, "content", 7);
	data = b.data;
	assert_int_equal(kv_buf_reserve(&b, 10), 0);
	assert_int_equal(kv_buf_set(&b, "x", 1), 0);
	assert_ptr_equal(b.data, data);
	assert_true(b.cap >= 5000);
	kv_buf_free(&b);
}

static void test_buf_set_replaces_and_append_adds(void **state)
{
	uint8_t model[3000], more[100];
	struct kv_buf b = { 0 };
	size_t len = 0;

	(void)state;
	while (len + sizeof(more) <= sizeof(model)) {
		size_t n = core_random_below(sizeof(more) + 1);

		core_random_bytes(more, n);
		if (core_random_below(40)) {
			memcpy(model + len, more, n);
			len += n;
			assert_int_equal(kv_buf_append(&b, more, n), 0);
		} else {
			memcpy(model, more, n);
			len = n;
			assert_int_equal(kv_buf_set(&b, more, n), 0);
		}
		assert_int_equal(b.len, len);
		assert_true(b.cap >= len);
		if (len)
			assert_memory_equal(b.data, model, len);
	}
	assert_int_equal(kv_buf_set(&b, NULL, 0), 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(kv_buf_append(&b, NULL, 0), 0);
	assert_int_equal(b.len, 0);
	kv_buf_free(&b);
}

/* What the comment in kv.c says: n bytes one by one cost O(n) copies. Half as much
 * again, rounded down, makes it a little over 3 n. */
static void test_buf_append_byte_by_byte_copies_few(void **state)
{
	enum { N = 100000 };
	struct kv_buf b = { 0 };
	size_t copied = 0, n;

	(void)state;
	for (n = 1; n <= N; n++) {
		size_t cap = b.cap;

		assert_int_equal(kv_buf_append(&b, "x", 1), 0);
		if (b.cap != cap)
			copied += cap;
		assert_true(copied <= 4 * n);
		assert_true(b.cap <= n + n / 2 + 1);
	}
	kv_buf_free(&b);
}

static void test_buf_out_of_memory_changes_nothing(void **state)
{
	struct kv_buf b = { 0 }, was;

	(void)state;
	port_fault_set(1, false);
	assert_int_equal(kv_buf_set(&b, "abc", 3), -ENOMEM);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.cap, 0);
	port_fault_set(0, false);
	assert_int_equal(kv_buf_set(&b, "abc", 3), 0);
	was = b;
	port_fault_set(1, false);
	assert_int_equal(kv_buf_append(&b, "0123456789", 10), -ENOMEM);
	assert_int_equal(kv_buf_set(&b, "0123456789", 10), -ENOMEM);
	assert_int_equal(kv_buf_reserve(&b, 100), -ENOMEM);
	/* Lengths whose sum no size_t holds, and one that no memory holds. */
	assert_int_equal(kv_buf_append(&b, "x", SIZE_MAX), -ENOMEM);
	assert_int_equal(kv_buf_append(&b, "x", SIZE_MAX - 2), -ENOMEM);
	port_fault_set(0, false);
	assert_int_equal(kv_buf_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_memory_equal(&b, &was, sizeof(b));
	assert_memory_equal(b.data, "abc", 3);
	kv_buf_free(&b);
}

/* ---- messages ---- */

static void test_fail_returns_its_error_and_says_why(void **state)
{
	struct kv_msg msg;

	(void)state;
	assert_int_equal(kv_fail(&msg, -EIO, "page %d of %s", 7, "data"), -EIO);
	assert_string_equal(msg.text, "page 7 of data");
	assert_int_equal(kv_fail(NULL, -EBADMSG, "page %d", 7), -EBADMSG);
	assert_int_equal(kv_fail(&msg, 0, "%s", ""), 0);
	assert_string_equal(msg.text, "");
}

static void test_fail_cuts_what_does_not_fit(void **state)
{
	char longer[1000];
	struct {
		struct kv_msg msg;
		char behind[16];
	} m;
	size_t len;

	(void)state;
	for (len = sizeof(m.msg.text) - 2; len <= sizeof(m.msg.text) + 1; len++) {
		size_t fits = len < sizeof(m.msg.text) ? len : sizeof(m.msg.text) - 1;

		memset(longer, 'y', sizeof(longer));
		memset(&m, 'b', sizeof(m));
		assert_int_equal(kv_fail(&m.msg, -EINVAL, "%.*s", (int)len, longer),
				 -EINVAL);
		assert_int_equal(strnlen(m.msg.text, sizeof(m.msg.text)), fits);
		assert_memory_equal(m.msg.text, longer, fits);
		assert_true(core_is_filled((uint8_t *)m.behind, sizeof(m.behind), 'b'));
	}
}

/* Keys are shown as they are where they can be, and never break a line. */
static void test_quoted_bytes_stay_on_one_line(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("plain")), "plain");
	assert_string_equal(kv_quote(out, sizeof(out), kv_slice("a\0\n\t\"\\\xff", 7)),
			    "a\\x00\\n\\t\\\"...");
	assert_string_equal(kv_quote(out, sizeof(out), kv_slice(NULL, 0)), "");
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("123456789012345")),
			    "123456789012345");
	assert_string_equal(kv_quote(out, sizeof(out), kv_str("1234567890123456")),
			    "123456789012...");
}

/* ---- options ---- */

static void test_open_without_options_takes_the_initial_values(void **state)
{
	static const char *const none[] = { NULL, "" };
	struct env *env = (struct env *)&probe; /* passed on, never looked into */
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(none); i++) {
		struct kv *kv = NULL;

		memset(&probe, 0, sizeof(probe));
		assert_int_equal(kv_open(&probe_ops, env, "dir", none[i], &kv, NULL), 0);
		assert_ptr_equal(kv, &probe.base);
		assert_ptr_equal(probe.env, env);
		assert_string_equal(probe.dir, "dir");
		assert_int_equal(probe.opt[OPT_SIZE], 4096);
		assert_int_equal(probe.opt[OPT_LEVELS], 7);
		assert_int_equal(probe.opt[OPT_POLICY], 1);
		assert_int_equal(probe.opt[OPT_ANY], 0);
	}
}

static void test_options_that_are_right(void **state)
{
	static const struct {
		const char *text;
		int option;
		uint64_t want;
	} right[] = {
		{ "cache_bytes=1024", OPT_SIZE, 1024 },
		{ "cache_bytes=1048576", OPT_SIZE, 1 << 20 },
		{ "cache_bytes=1k", OPT_SIZE, 1 << 10 },
		{ "cache_bytes=64K", OPT_SIZE, 64 << 10 },
		{ "cache_bytes=1m", OPT_SIZE, 1 << 20 },
		{ "cache_bytes=1M", OPT_SIZE, 1 << 20 },
		{ "any=3g", OPT_ANY, 3ull << 30 },
		{ "any=3G", OPT_ANY, 3ull << 30 },
		{ "any=0", OPT_ANY, 0 },
		{ "any=0k", OPT_ANY, 0 },
		{ "any=007", OPT_ANY, 7 },
		{ "any=18446744073709551615", OPT_ANY, UINT64_MAX },
		{ "any=17179869183g", OPT_ANY, 17179869183ull << 30 },
		{ "policy=tiered", OPT_POLICY, 0 },
		{ "policy=leveled", OPT_POLICY, 1 },
		{ "policy=lazy", OPT_POLICY, 2 },
		{ "levels=1,levels=2", OPT_LEVELS, 2 }, /* the last one counts */
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(right); i++) {
		struct kv_msg why;
		struct kv *kv;

		if (kv_open(&probe_ops, NULL, "d", right[i].text, &kv, &why))
			fail_msg("%s: %s", right[i].text, why.text);
		assert_int_equal(probe.opt[right[i].option], right[i].want);
	}
}

static void test_options_together_leave_the_others_alone(void **state)
{
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_open(&probe_ops, NULL, "d",
				 "policy=lazy,any=5,cache_bytes=2k", &kv, NULL),
			 0);
	assert_int_equal(probe.opt[OPT_SIZE], 2048);
	assert_int_equal(probe.opt[OPT_LEVELS], 7);
	assert_int_equal(probe.opt[OPT_POLICY], 2);
	assert_int_equal(probe.opt[OPT_ANY], 5);
}

/* A range of 64 bits is too wide to be told apart from a word that is no number. */
#define SIZE_WHY(s)          "option cache_bytes is a number from 1024 to 1048576, not \"" s "\""
#define ANY_WHY(s)           "option any is a number from 0 to 18446744073709551615, not \"" s "\""
#define POLICY_WHY(s)        "option policy is one of tiered|leveled|lazy, not \"" s "\""
#define FORM_WHY(s)          "options are name=value,name=value: \"" s "\" has no \"=\""
#define NAME_WHY(s, nearest) "engine probe has no option \"" s "\"; nearest is " nearest

static const struct {
	const char *text, *why;
} wrong[] = {
	/* values out of range */
	{ "cache_bytes=1023", SIZE_WHY("1023") },
	{ "cache_bytes=1048577", SIZE_WHY("1048577") },
	{ "cache_bytes=2m", SIZE_WHY("2m") },
	{ "cache_bytes=0", SIZE_WHY("0") },
	{ "levels=11", "option levels is a number from 1 to 10, not \"11\"" },
	/* values that are no number, or none that 64 bits hold */
	{ "any=", ANY_WHY("") },
	{ "any=k", ANY_WHY("k") },
	{ "any=-1", ANY_WHY("-1") },
	{ "any=+1", ANY_WHY("+1") },
	{ "any= 1", ANY_WHY(" 1") },
	{ "any=1 ", ANY_WHY("1 ") },
	{ "any=1kk", ANY_WHY("1kk") },
	{ "any=1t", ANY_WHY("1t") },
	{ "any=1:", ANY_WHY("1:") },
	{ "any=1/", ANY_WHY("1/") },
	{ "any=0x10", ANY_WHY("0x10") },
	{ "any=1.5k", ANY_WHY("1.5k") },
	{ "any=1=2", ANY_WHY("1=2") },
	{ "any=\xff", ANY_WHY("\xff") },
	{ "any=18446744073709551616", ANY_WHY("18446744073709551616") },
	{ "any=99999999999999999999", ANY_WHY("99999999999999999999") },
	{ "any=18014398509481984k", ANY_WHY("18014398509481984k") },
	{ "any=17179869184g", ANY_WHY("17179869184g") },
	/* values that are none of the choices */
	{ "policy=", POLICY_WHY("") },
	{ "policy=tier", POLICY_WHY("tier") },
	{ "policy=tieredx", POLICY_WHY("tieredx") },
	{ "policy=tiered|leveled", POLICY_WHY("tiered|leveled") },
	{ "policy=0", POLICY_WHY("0") },
	{ "policy=Lazy", POLICY_WHY("Lazy") },
	/* no "=" where one belongs */
	{ "levels", FORM_WHY("levels") },
	{ "any=1,levels", FORM_WHY("levels") },
	{ "levels,any=1", FORM_WHY("levels") },
	{ ",any=1", FORM_WHY("") },
	{ "any=1,,levels=1", FORM_WHY("") },
	/* names that no option has */
	{ "level=1", NAME_WHY("level", "levels") },
	{ "levles=1", NAME_WHY("levles", "levels") },
	{ "Levels=1", NAME_WHY("Levels", "levels") },
	{ "cachebytes=1", NAME_WHY("cachebytes", "cache_bytes") },
	/* four edits; cache_bytes is six away */
	{ "cache=1", NAME_WHY("cache", "any") },
	{ "cache_byte=1", NAME_WHY("cache_byte", "cache_bytes") },
	{ "polcy=lazy", NAME_WHY("polcy", "policy") },
	{ "many=1", NAME_WHY("many", "any") },
	{ "=1", NAME_WHY("", "any") },
	{ "any=1,lebels=3", NAME_WHY("lebels", "levels") },
	/* the first mistake is the one that is told */
	{ "levels=99,any=x,foo", "option levels is a number from 1 to 10, not \"99\"" },
};

static void test_options_that_are_wrong_are_told_apart(void **state)
{
	struct kv *const untouched = (struct kv *)&wrong;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++) {
		struct kv *kv = untouched;
		struct kv_msg why = { "nothing" };
		int error = kv_open(&probe_ops, NULL, "d", wrong[i].text, &kv, &why);

		if (error != -EINVAL)
			fail_msg("\"%s\" was not refused", wrong[i].text);
		assert_string_equal(why.text, wrong[i].why);
		assert_ptr_equal(kv, untouched);
		EXPECT_REFUSED(kv_open(&probe_ops, NULL, "d", wrong[i].text, &kv, NULL));
	}
}

static void test_option_names_longer_than_any_are_refused(void **state)
{
	char text[600];
	struct kv_msg why;
	size_t len;
	struct kv *kv;

	(void)state;
	for (len = 60; len < 500; len += len < 70 ? 1 : 43) {
		memset(text, 'n', len);
		strcpy(text + len, "=1");
		EXPECT_REFUSED(kv_open(&probe_ops, NULL, "d", text, &kv, &why));
		assert_int_equal(
			strncmp(why.text, "engine probe has no option \"nnn", 30), 0);
		assert_true(strnlen(why.text, sizeof(why.text)) < sizeof(why.text));
	}
}

static void test_engine_without_options_knows_none(void **state)
{
	static const struct kv_opt none[] = { { 0 } };
	struct kv_ops ops = probe_ops;
	struct kv_msg why;
	struct kv *kv;
	int round;

	(void)state;
	for (round = 0; round < 2; round++) {
		ops.opts = round ? none : NULL;
		assert_int_equal(kv_open(&ops, NULL, "d", "", &kv, &why), 0);
		EXPECT_REFUSED(kv_open(&ops, NULL, "d", "any=1", &kv, &why));
		assert_string_equal(why.text,
				    "engine probe has no option \"any\", nor any other");
	}
}

static void test_engine_with_too_many_options_is_refused(void **state)
{
	static struct kv_opt many[66];
	struct kv_ops ops = probe_ops;
	struct kv_msg why;
	struct kv *kv;
	size_t i;

	(void)state;
	ops.opts = many;
	for (i = 0; i < 64; i++)
		many[i] = (struct kv_opt){ .name = "o", .max = 9, .init = i };
	assert_int_equal(kv_open(&ops, NULL, "d", NULL, &kv, &why), 0);
	assert_int_equal(probe.opt[OPT_ANY], OPT_ANY);
	many[64] = many[0];
	EXPECT_REFUSED(kv_open(&ops, NULL, "d", NULL, &kv, &why));
	assert_string_equal(why.text, "engine probe has over 64 options");
}

static void test_open_passes_on_the_error_and_its_reason(void **state)
{
	struct kv_msg why = { "of something else" };
	struct kv *kv = NULL;

	(void)state;
	assert_int_equal(kv_open(&probe_ops, NULL, "d", NULL, &kv, &why), 0);
	assert_string_equal(why.text, "");
	strcpy(why.text, "of something else");
	kv = NULL;
	probe.answer = -EBUSY;
	assert_int_equal(kv_open(&probe_ops, NULL, "d", NULL, &kv, &why), -EBUSY);
	assert_string_equal(probe.said, ""); /* the engine finds it empty */
	assert_string_equal(why.text, "probe: told to fail");
	assert_null(kv);
	assert_int_equal(kv_open(&probe_ops, NULL, "d", NULL, &kv, NULL), -EBUSY);
}

#define KV_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KV_TEST(test_str_is_without_its_final_nul),
		KV_TEST(test_compare_is_by_unsigned_bytes_then_by_length),
		KV_TEST(test_compare_is_a_total_order),
		KV_TEST(test_buf_begins_and_ends_as_zeros),
		KV_TEST(test_buf_reserve_keeps_content_and_never_shrinks),
		KV_TEST(test_buf_set_replaces_and_append_adds),
		KV_TEST(test_buf_append_byte_by_byte_copies_few),
		KV_TEST(test_buf_out_of_memory_changes_nothing),
		KV_TEST(test_fail_returns_its_error_and_says_why),
		KV_TEST(test_fail_cuts_what_does_not_fit),
		KV_TEST(test_quoted_bytes_stay_on_one_line),
		KV_TEST(test_open_without_options_takes_the_initial_values),
		KV_TEST(test_options_that_are_right),
		KV_TEST(test_options_together_leave_the_others_alone),
		KV_TEST(test_options_that_are_wrong_are_told_apart),
		KV_TEST(test_option_names_longer_than_any_are_refused),
		KV_TEST(test_engine_without_options_knows_none),
		KV_TEST(test_engine_with_too_many_options_is_refused),
		KV_TEST(test_open_passes_on_the_error_and_its_reason),
	};

	printf("# seed 0x%x\n", CORE_SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
