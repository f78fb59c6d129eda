/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_verify_tests.c - that verify finds what is planted, that it finds nothing else, and
 * what dump prints.
 *
 * Damage in memory is made through the pager, as the writer would: so that the page alone is
 * right, and only the tree is not. Damage on disk is made behind the store's back.
 */
#include "btree_store_fixture.h"

#include "../btree_store.h"

enum { N = 300, BYTES = 60 };

static const char *store_dir;

static struct kv *make(const char *options)
{
	static unsigned int turn;
	static char name[SCRATCH_PATH];
	struct kv *kv;
	unsigned int i;

	(void)snprintf(name, sizeof(name), "%s/store%u", scratch, turn++);
	store_dir = name;
	kv = store_open(name, options);
	for (i = 0; i < N; i++)
		store_put(kv, i, i % 40 ? BYTES : 20000);
	store_verify(kv);
	return kv;
}

static void finds(struct kv *kv, const char *word)
{
	struct kv_msg why = { "" };

	assert_int_equal(kv_verify(kv, &why), -EBADMSG);
	if (!strstr(why.text, word))
		fail_msg("\"%s\" does not say \"%s\"", why.text, word);
}

/* ---- in memory ---- */

/* The first node above the leaves, under write_lock; pinned. */
static struct btree_node *parent_of_leaves(struct btree_store *s, struct btree_path *path)
{
	assert_int_equal(btree_path_edge(&s->tree, &s->tree.tip, false, path, NULL), 0);
	assert_true(path->levels > 1);
	return btree_path_node(&s->tree, path, 1);
}

static void test_two_ways_to_one_page(void **state)
{
	struct kv *kv = make("max_keys=8");
	struct btree_store *s = btree_store(kv);
	struct btree_tree *t = &s->tree;
	struct btree_path path;
	struct btree_node *n;
	struct btree_child was;

	(void)state;
	port_mutex_lock(&s->write_lock);
	n = parent_of_leaves(s, &path);
	was = btree_node_child(n, t->shape, 1);
	btree_node_set_child(n, t->shape, 1, btree_node_child(n, t->shape, 0));
	port_mutex_unlock(&s->write_lock);
	finds(kv, "from two places");
	btree_node_set_child(n, t->shape, 1, was);
	btree_path_release(t, &path);
	store_verify(kv);
	store_close(kv);
}

static void test_way_to_another_nodes_child(void **state)
{
	struct kv *kv = make("max_keys=8");
	struct btree_store *s = btree_store(kv);
	struct btree_tree *t = &s->tree;
	struct btree_path path;
	struct btree_node *n;
	struct btree_child first, second;

	(void)state;
	n = parent_of_leaves(s, &path);
	first = btree_node_child(n, t->shape, 0);
	second = btree_node_child(n, t->shape, 1);
	btree_node_set_child(n, t->shape, 0, second);
	btree_node_set_child(n, t->shape, 1, first);
	finds(kv, "fence");
	/* a child of the wrong level */
	btree_node_set_child(n, t->shape, 0,
			     (struct btree_child){ path.page[path.levels - 1], 0 });
	finds(kv, "two places");
	btree_node_set_child(n, t->shape, 0, first);
	btree_node_set_child(n, t->shape, 1, second);
	btree_path_release(t, &path);
	store_verify(kv);
	store_close(kv);
}

static void test_leaf_that_lost_a_pair(void **state)
{
	struct kv *kv = make(NULL);
	struct btree_store *s = btree_store(kv);
	struct btree_path path;

	(void)state;
	assert_int_equal(btree_path_edge(&s->tree, &s->tree.tip, true, &path, NULL), 0);
	btree_page_lock(s->pager, path.page[0]);
	btree_node_remove(btree_path_node(&s->tree, &path, 0), s->tree.shape, 0);
	btree_page_unlock(s->pager, path.page[0], true);
	btree_path_release(&s->tree, &path);
	finds(kv, "counted");
	store_close(kv);
}

static void test_page_that_nothing_leads_to(void **state)
{
	struct kv *kv = make(NULL);
	struct btree_store *s = btree_store(kv);
	uint32_t page;

	(void)state;
	port_mutex_lock(&s->write_lock);
	assert_int_equal(btree_pages_reserve(s->pager, 1, 0, false), 0);
	page = btree_page_new(s->pager, s->tree.generation);
	btree_node_init(btree_page(s->pager, page), s->tree.shape, 0, kv_str(""),
			kv_slice(NULL, 0));
	btree_page_unpin(s->pager, page);
	port_mutex_unlock(&s->write_lock);
	finds(kv, "nothing leads to it");
	port_mutex_lock(&s->write_lock);
	btree_page_free(s->pager, page, s->tree.generation, s->tree.generation);
	port_mutex_unlock(&s->write_lock);
	store_verify(kv);
	store_close(kv);
}

static void test_page_that_counts_as_free(void **state)
{
	struct kv *kv = make(NULL);
	struct btree_store *s = btree_store(kv);
	struct btree_path path;

	(void)state;
	assert_int_equal(btree_path_edge(&s->tree, &s->tree.tip, false, &path, NULL), 0);
	port_mutex_lock(&s->write_lock);
	btree_page_free(s->pager, path.page[0], 1, s->tree.generation + 1);
	port_mutex_unlock(&s->write_lock);
	finds(kv, "free");
	btree_path_release(&s->tree, &path);
	store_close(kv);
}

/* ---- on disk ---- */

static void flip(const char *name, long offset)
{
	char path[2 * SCRATCH_PATH];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), "%s/%s", store_dir, name);
	f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, offset, SEEK_SET), 0);
	c = fgetc(f);
	assert_true(c != EOF);
	assert_int_equal(fseek(f, offset, SEEK_SET), 0);
	assert_int_equal(fputc(c ^ 0x10, f), c ^ 0x10);
	assert_int_equal(fclose(f), 0);
}

/* Memory has the page as it should be; the file has not. */
static void test_damage_on_disk_behind_good_memory(void **state)
{
	struct kv *kv = make(NULL);
	struct btree_store *s = btree_store(kv);
	struct btree_path path;
	long page_bytes = (long)s->tree.shape->page_bytes;

	(void)state;
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	store_verify(kv);
	assert_int_equal(btree_path_edge(&s->tree, &s->tree.tip, false, &path, NULL), 0);
	flip("TREE", path.page[0] * page_bytes + page_bytes - 1);
	finds(kv, "TREE");
	flip("TREE", path.page[0] * page_bytes + page_bytes - 1);
	store_verify(kv);
	btree_path_release(&s->tree, &path);
	store_close(kv);
}

/* Key 0's value lies on a run of pages. */
static void test_damage_in_a_large_value(void **state)
{
	struct kv *kv = make(NULL);
	struct btree_store *s = btree_store(kv);
	struct btree_overflow o;
	struct btree_path path;
	unsigned int flags;

	(void)state;
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	assert_int_equal(btree_path_edge(&s->tree, &s->tree.tip, false, &path, NULL), 0);
	o = btree_value_ref(btree_node_value(btree_path_node(&s->tree, &path, 0),
					     s->tree.shape, 0, &flags));
	assert_int_equal(flags, BTREE_SLOT_OVERFLOW);
	btree_path_release(&s->tree, &path);
	flip("TREE", (long)(o.page + 2) * (long)s->tree.shape->page_bytes + 1000);
	finds(kv, "TREE");
	store_close(kv);
}

static void test_damage_in_the_log(void **state)
{
	struct kv *kv = make("segment_bytes=64k");
	struct btree_store *s = btree_store(kv);

	(void)state;
	assert_int_equal(btree_checkpoint_now(s, NULL), 0);
	store_put(kv, 1, BYTES);
	store_verify(kv);
	assert_int_equal(s->checkpoint_position >> 16, log_end(s->log) >> 16);
	{
		char name[32];
		long offset = (long)(s->checkpoint_position & 0xffff) + 40;

		(void)snprintf(name, sizeof(name), "%012llx.log",
			       (unsigned long long)s->checkpoint_position >> 16);
		flip(name, offset);
		finds(kv, "log");
		flip(name, offset);
	}
	store_verify(kv);
	store_close(kv);
}

/* ---- what is right ---- */

static void test_verify_tells_what_the_tree_is_made_of(void **state)
{
	struct kv *kv = make("max_keys=10");
	uint64_t leaves, inner;

	(void)state;
	leaves = store_stat(kv, "verified_leaf_pages");
	inner = store_stat(kv, "verified_inner_pages");
	assert_in_range(leaves, N / 10, N / 4);
	assert_in_range(inner, leaves / 10, leaves / 3);
	assert_true(store_stat(kv, "verified_overflow_pages") >= N / 40 * 3);
	store_close(kv);
}

/* Keys and values of half a page, of the greatest length, and of none. */
static void test_verify_of_extremes(void **state)
{
	struct kv *kv = make("max_keys=4");
	uint8_t key[BTREE_KEY_MAX];
	static uint8_t value[3000];
	unsigned int i;

	(void)state;
	memset(key, 'k', sizeof(key));
	for (i = 0; i < 200; i++) {
		key[i % 4 ? 511 : 1] = (uint8_t)i;
		assert_int_equal(kv_put(kv, kv_slice(key, 512 - i % 3),
					kv_slice(value, i * 15), KV_NONE),
				 0);
	}
	assert_int_equal(kv_put(kv, kv_str(""), kv_str(""), KV_NONE), 0);
	store_verify(kv);
	assert_int_equal(kv_compact(kv), 0);
	store_verify(kv);
	store_close(kv);
}

static void test_verify_of_a_snapshot_beside_an_older_one(void **state)
{
	struct kv *kv = make("max_keys=4");
	struct kv_snapshot *snap;
	unsigned int i;

	(void)state;
	assert_int_equal(kv_snapshot(kv, &snap), 0);
	for (i = 0; i < N; i += 2)
		store_delete(kv, i);
	store_verify(kv);
	kv_release(kv, snap);
	store_verify(kv);
	store_close(kv);
}

/* ---- dump ---- */

static char dumped[1 << 16];

static void print(void *arg, const char *line)
{
	size_t n = strlen(dumped);

	(void)arg;
	(void)snprintf(dumped + n, sizeof(dumped) - n, "%s\n", line);
}

static const char *dump(struct kv *kv, enum btree_dump_style style, unsigned int most)
{
	dumped[0] = '\0';
	assert_int_equal(btree_dump(kv, style, most, print, NULL), 0);
	return dumped;
}

static struct kv *make_letters(const char *letters)
{
	struct kv *kv;

	store_dir = in_scratch(letters);
	kv = store_open(store_dir, "max_keys=4");
	for (; *letters; letters++)
		assert_int_equal(kv_put(kv, kv_slice(letters, 1), kv_str("v"), KV_NONE),
				 0);
	return kv;
}

static void test_dump_shows_levels(void **state)
{
	struct kv *kv = make_letters("cafed");
	const char *text = dump(kv, BTREE_DUMP_TEXT, 10);

	(void)state;
	assert_non_null(strstr(text, "level 1 [\"\", end) 2 children"));
	assert_non_null(strstr(text, "\n  leaf "));
	assert_non_null(strstr(text, ": \"a\", \"c\""));
	assert_non_null(strstr(text, "\"f\"\n"));
	text = dump(kv, BTREE_DUMP_TEXT, 1);
	assert_non_null(strstr(text, ": \"a\", and "));
	store_close(kv);
}

static void test_dump_draws(void **state)
{
	struct kv *kv = make_letters("{|}<>\" \\");
	const char *text = dump(kv, BTREE_DUMP_DOT, 10), *edge = text;
	unsigned int edges = 0;

	(void)state;
	assert_ptr_equal(strstr(text, "digraph btree {"), text);
	assert_non_null(strstr(text, "\n}\n"));
	assert_non_null(strstr(text, "\\{"));
	assert_non_null(strstr(text, "\\|"));
	assert_non_null(strstr(text, "\\\""));
	while ((edge = strstr(edge + 1, "->")))
		edges++;
	store_verify(kv);
	assert_int_equal(edges, store_stat(kv, "verified_leaf_pages") +
					store_stat(kv, "verified_inner_pages") - 1);
	store_close(kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEAK_CHECKED(test_two_ways_to_one_page),
		LEAK_CHECKED(test_way_to_another_nodes_child),
		LEAK_CHECKED(test_leaf_that_lost_a_pair),
		LEAK_CHECKED(test_page_that_nothing_leads_to),
		LEAK_CHECKED(test_page_that_counts_as_free),
		LEAK_CHECKED(test_damage_on_disk_behind_good_memory),
		LEAK_CHECKED(test_damage_in_a_large_value),
		LEAK_CHECKED(test_damage_in_the_log),
		LEAK_CHECKED(test_verify_tells_what_the_tree_is_made_of),
		LEAK_CHECKED(test_verify_of_extremes),
		LEAK_CHECKED(test_verify_of_a_snapshot_beside_an_older_one),
		LEAK_CHECKED(test_dump_shows_levels),
		LEAK_CHECKED(test_dump_draws),
	};

	return cmocka_run_group_tests(tests, make_scratch_in_memory, drop_scratch);
}
