/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_space_tests.c - numbers: who may have which when, growth, a full disk, the file's end.
 *
 * What a freed number waits for is checked against a model that knows of each page when it
 * was born and freed, and by which generations it is needed; it is asked at every number that
 * is given out.
 */
#include "../../sprint-1-core-memory/tests/leak_check.h"
#include "../../sprint-1-core-memory/tests/test_scale.h"
#include "../../sprint-2-hash-storage/tests/env_sim.h"
#include "btree_toy.h"

static uint64_t seed;
static struct kv_msg why;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int set_up(void **state)
{
	const char *s = getenv("KV_SEED");

	seed = s ? strtoull(s, NULL, 0) : 0x5eed0301;
	return leak_check_set_up(state);
}

static void expect_ok(int error)
{
	if (error)
		fail_msg("error %d: %s", error, why.text);
}

/* ---- the model ---- */

enum { PAGES_MAX = 4096, LIVES_MAX = 200000, KEEP_MAX = 12 };

struct life {
	uint32_t page;
	uint64_t birth, freed; /* freed 0: not yet */
};

struct model {
	struct btree_pager *p;
	uint64_t generation, durable, running;
	uint64_t keep[KEEP_MAX];
	size_t kept;
	struct life *life;
	size_t lives, live; /* live: of them, not freed yet */
	struct btree_checkpoint *checkpoint;
	bool starved;  /* no memory where numbers are given back */
	uint32_t root; /* a page that is never freed: each checkpoint needs one */
};

static bool sees(const struct life *l, uint64_t g)
{
	return g && l->birth <= g && (!l->freed || g < l->freed);
}

static bool is_needed(const struct model *m, const struct life *l)
{
	size_t i;

	if (!l->freed || sees(l, m->durable) || sees(l, m->running))
		return true;
	for (i = 0; i < m->kept; i++)
		if (sees(l, m->keep[i]))
			return true;
	return false;
}

/* The number may be given out: forgets who had it. */
static void expect_unneeded(struct model *m, uint32_t page)
{
	size_t i;

	assert_true(page >= BTREE_SUPER_PAGES && page < btree_pager_pages(m->p));
	assert_false(btree_page_is_map(m->p, page));
	for (i = 0; i < m->lives;) {
		if (m->life[i].page != page) {
			i++;
			continue;
		}
		assert_false(is_needed(m, &m->life[i]));
		m->life[i] = m->life[--m->lives];
	}
}

/* A page from disk's point of view: an overflow page without content. */
static void live_on(struct model *m, uint32_t page)
{
	struct btree_page_header *h = btree_page(m->p, page);

	expect_unneeded(m, page);
	assert_int_equal(h->page, page);
	assert_int_equal(h->birth, m->generation);
	assert_true(btree_page_in_use(m->p, page));
	h->kind = BTREE_PAGE_OVERFLOW;
	memset(h + 1, (int)page, m->p->shape.page_bytes - sizeof(*h));
	btree_page_unpin(m->p, page);
	assert_true(m->lives < LIVES_MAX);
	m->life[m->lives++] = (struct life){ page, m->generation, 0 };
	m->live++;
}

static void make_some(struct model *m, uint32_t n, uint32_t run)
{
	uint32_t i, page;

	expect_ok(btree_pages_reserve(m->p, n, run, false));
	for (i = 0; i < n; i++)
		live_on(m, btree_page_new(m->p, m->generation));
	if (!run)
		return;
	page = btree_run_new(m->p, run, m->generation);
	for (i = 0; i < run; i++)
		live_on(m, page + i);
}

static void free_one(struct model *m)
{
	size_t i = draw() % m->lives, n = m->lives;

	while (n-- && (m->life[i].freed || m->life[i].page == m->root))
		i = (i + 1) % m->lives;
	if (m->life[i].freed || m->life[i].page == m->root)
		return;
	m->life[i].freed = m->generation;
	m->live--;
	btree_page_free(m->p, m->life[i].page, m->life[i].birth, m->generation);
	assert_false(btree_page_in_use(m->p, m->life[i].page));
}

static void begin(struct model *m)
{
	struct btree_super s = { .generation = m->generation,
				 .root = { m->root, 0 },
				 .levels = 1 };

	expect_ok(btree_checkpoint_begin(m->p, &s, &m->checkpoint));
	m->running = m->generation++;
}

static void end(struct model *m, bool written)
{
	if (written) {
		expect_ok(btree_checkpoint_write(m->checkpoint, 0, &why));
		m->durable = m->running;
	}
	m->running = 0;
	btree_checkpoint_end(m->checkpoint, m->keep, m->kept);
	m->checkpoint = NULL;
}

static void change_snapshots(struct model *m)
{
	size_t i;

	if (m->kept < KEEP_MAX && draw() % 2) {
		if (!m->kept || m->keep[m->kept - 1] != m->generation)
			m->keep[m->kept++] = m->generation;
		m->generation++;
	} else if (m->kept) {
		i = draw() % m->kept;
		memmove(&m->keep[i], &m->keep[i + 1],
			(m->kept - i - 1) * sizeof(*m->keep));
		m->kept--;
	}
}

static void reclaim(struct model *m)
{
	port_fault_set(m->starved, false);
	btree_pages_reclaim(m->p, m->keep, m->kept);
	port_fault_set(0, false);
}

static void model_step(struct model *m)
{
	unsigned int what = (unsigned int)(draw() % 100);

	if (what < 40 && m->live < PAGES_MAX)
		make_some(m, (uint32_t)(draw() % 4), draw() % 8 ? 0 : draw() % 40);
	else if (what < 80)
		free_one(m);
	else if (what < 90)
		reclaim(m);
	else if (what < 95)
		change_snapshots(m);
	else if (m->checkpoint)
		end(m, draw() % 4);
	else
		begin(m);
}

static void expect_live(struct model *m)
{
	size_t i, n = 0;
	uint32_t page, used = 0;

	for (i = 0; i < m->lives; i++)
		if (!m->life[i].freed) {
			assert_true(btree_page_in_use(m->p, m->life[i].page));
			n++;
		}
	for (page = BTREE_SUPER_PAGES; page < btree_pager_pages(m->p); page++)
		used += btree_page_in_use(m->p, page) && !btree_page_is_map(m->p, page);
	assert_int_equal(n, m->live);
	assert_int_equal(used, m->live);
}

/* Every bit of the map of a store that is opened is a page of the tree, or its own. */
static void reopen(struct model *m, struct btree_pager_config *c)
{
	struct btree_super super;
	size_t i, n = 0;

	btree_pager_close(m->p);
	expect_ok(btree_pager_open(c, &super, &m->p, &why));
	m->p->shape.max_keys = 64;
	assert_int_equal(super.generation, m->durable);
	/* Newer pages are gone, freed ones are back. */
	for (i = 0; i < m->lives; i++)
		if (sees(&m->life[i], m->durable)) {
			m->life[n] = m->life[i];
			m->life[n++].freed = 0;
		}
	m->lives = m->live = n;
	m->kept = 0;
	m->generation = m->durable + 1;
	expect_live(m);
}

static void run_model(const struct env_sim_config *config, uint32_t memory_page,
		      bool starved)
{
	struct env_sim *sim = env_sim_new(config);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct model m = { .generation = 1, .starved = starved };
	unsigned int i, steps = (unsigned int)test_draws(8000);

	print_message("# seed 0x%llx\n", (unsigned long long)seed);
	m.life = calloc(LIVES_MAX, sizeof(*m.life));
	assert_non_null(m.life);
	c.memory_page_bytes = memory_page;
	expect_ok(btree_pager_create(&c, &m.p, &why));
	m.p->shape.max_keys = 64;
	make_some(&m, 1, 0);
	m.root = m.life[0].page;
	for (i = 0; i < steps; i++) {
		model_step(&m);
		if (i % 500 == 0)
			expect_live(&m);
	}
	if (m.checkpoint)
		end(&m, true);
	begin(&m);
	end(&m, true);
	reopen(&m, &c);
	for (i = 0; i < steps / 4; i++)
		model_step(&m);
	if (m.checkpoint)
		end(&m, false);
	expect_live(&m);
	btree_pager_close(m.p);
	free(m.life);
	env_sim_free(sim);
}

static void test_no_number_is_given_out_while_a_generation_needs_it(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		run_model(&(struct env_sim_config){ .no_journal = true,
						    .no_allocate = i % 2 },
			  i == 3 ? 16384 : 0, i == 2);
}

/* ---- one rule at a time ---- */

static uint64_t held_pages(struct btree_pager *p)
{
	struct btree_pager_stats st;

	btree_pager_stats(p, &st);
	return st.held_bytes >> p->page_shift;
}

static void test_page_of_one_generation_is_free_at_once(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;
	uint32_t page;

	(void)state;
	expect_ok(toy_create(&t, &c, 1, 1, &why));
	expect_ok(btree_pages_reserve(t.p, 1, 0, false));
	page = btree_page_new(t.p, 1);
	btree_page_unpin(t.p, page);
	btree_page_free(t.p, page, 1, 1);
	assert_int_equal(held_pages(t.p), 1);
	btree_pages_reclaim(t.p, NULL, 0);
	assert_int_equal(held_pages(t.p), 0);
	/* And, being in memory, it is the next to be given out. */
	expect_ok(btree_pages_reserve(t.p, 1, 0, false));
	assert_int_equal(btree_page_new(t.p, 1), page);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_pinned_number_waits(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;
	uint32_t page;

	(void)state;
	expect_ok(toy_create(&t, &c, 1, 1, &why));
	expect_ok(btree_pages_reserve(t.p, 1, 0, false));
	page = btree_page_new(t.p, 1);
	btree_page_free(t.p, page, 1, 1);
	btree_pages_reclaim(t.p, NULL, 0);
	assert_int_equal(held_pages(t.p), 1);
	btree_page_unpin(t.p, page);
	btree_pages_reclaim(t.p, NULL, 0);
	assert_int_equal(held_pages(t.p), 0);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_failed_checkpoint_lets_go_of_what_it_kept(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;

	(void)state;
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	expect_ok(toy_checkpoint_begin(&t));
	expect_ok(toy_put(&t, 0, &why)); /* copies three pages */
	assert_int_equal(held_pages(t.p), 3);
	toy_checkpoint_end(&t);
	assert_int_equal(held_pages(t.p), 0);
	expect_ok(toy_checkpoint(&t, &why));
	toy_check_numbers(&t);
	toy_close(&t);
	env_sim_free(sim);
}

/* Room for the lists of so many generations cannot be had: held is held all the same. */
static void test_many_snapshots_without_memory_for_their_lists(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	uint64_t held = 0;
	struct toy t;
	size_t i;

	(void)state;
	c.memory_bytes = 1000 * 4096;
	expect_ok(toy_create(&t, &c, 2, 3, &why));
	for (i = 0; i < 64; i++) {
		t.keep[t.kept++] = t.frozen = t.generation++;
		expect_ok(btree_pages_reserve(t.p, 3, 0, false));
		port_fault_set(1, false);
		expect_ok(toy_put(&t, (unsigned int)i % 6, &why));
		port_fault_set(0, false);
		held += 3;
		assert_int_equal(held_pages(t.p), held);
	}
	/* Only the oldest snapshot sees the first tree's pages. */
	btree_pages_reclaim(t.p, t.keep + 1, 63);
	assert_int_equal(held_pages(t.p), held - 3);
	/* The newest sees one page that no other does: the root. */
	btree_pages_reclaim(t.p, t.keep + 1, 62);
	assert_int_equal(held_pages(t.p), held - 4);
	btree_pages_reclaim(t.p, NULL, 0);
	assert_int_equal(held_pages(t.p), 0);
	expect_ok(toy_check(&t, &why));
	toy_close(&t);
	env_sim_free(sim);
}

/* ---- bytes on disk ---- */

static void test_free_map_is_these_bytes(void **state)
{
	struct env_sim *sim = env_sim_new(NULL);
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	static uint8_t page[4096], rest[4096];
	struct toy t;
	size_t got;

	(void)state;
	expect_ok(toy_create(&t, &c, 1, 3, &why));
	expect_ok(toy_checkpoint(&t, &why));
	/* Numbers 2 and 3 were set aside for maps when the file was made; 2 is taken. */
	expect_ok(file_read(t.p->io->file, 2 * 4096, page, sizeof(page), &got));
	assert_int_equal(port_get_le32(page), port_crc32c(0, page + 4, 4092));
	assert_int_equal(port_get_le32(page + 4), 2); /* its number */
	assert_int_equal(port_get_le64(page + 8), 1); /* generation */
	assert_int_equal(page[16], 3);                /* kind */
	assert_int_equal(page[17], 0);                /* level */
	assert_int_equal(port_get_le16(page + 18), 0);
	/* The tree has 4 to 8; with the reserve the file is 73 pages: ten bytes of bits. */
	assert_int_equal(port_get_le32(page + 20), 10);
	assert_int_equal(page[24], 0xf7);
	assert_int_equal(page[25], 0x01);
	assert_memory_equal(page + 26, rest, 4096 - 26);
	toy_close(&t);
	expect_ok(toy_open(&t, &c, &why));
	assert_int_equal(t.super.map_page, 2);
	assert_int_equal(t.super.map_pages, 1);
	assert_int_equal(t.super.map_crc, port_crc32c(0, page, sizeof(page)));
	assert_int_equal(t.super.pages, 73);
	toy_close(&t);
	env_sim_free(sim);
}

/* ---- growth, a full disk, the end ---- */

static void test_file_grows_up_to_its_addresses(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;
	uint64_t pages = 0;
	int error;

	(void)state;
	expect_ok(toy_create(&t, &c, 1, 1, &why));
	assert_int_equal(btree_pages_reserve(t.p, UINT32_MAX, 0, false), -ENOSPC);
	while (!(error = btree_pages_reserve(t.p, 0, 512, false))) {
		uint32_t page = btree_run_new(t.p, 512, 1), i;

		for (i = 0; i < 512; i++)
			btree_page_unpin(t.p, page + i);
		pages += 512;
	}
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(btree_pager_failure(t.p, &why), 0);
	assert_non_null(strstr(why.text, "max_bytes"));
	assert_true(pages >= c.max_bytes / 4096 - 2048);
	/* It is a refusal, not a failure. */
	expect_ok(toy_put(&t, 0, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_close(&t);
	env_sim_free(sim);
}

/* Puts until the disk is full, with checkpoints; returns how many were possible. */
static unsigned int fill_disk(struct toy *t, unsigned int at_most, bool pin)
{
	unsigned int n = 0, i;

	/* Snapshots of each generation keep every old page. */
	while (n < at_most) {
		int error = toy_put(t, n % toy_keys(t), &why);

		if (error == -ENOSPC)
			return n;
		expect_ok(error);
		n++;
		if (n % 16)
			continue;
		if (pin && t->kept < TOY_KEEP_MAX)
			t->keep[t->kept++] = t->generation;
		expect_ok(toy_checkpoint(t, &why));
		for (i = 0; i < 3; i++)
			expect_ok(toy_get(t, i, &(uint64_t){ 0 }, &why));
	}
	return n;
}

static void test_full_disk_refuses_puts_and_never_a_checkpoint(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct toy t;
	unsigned int i, n;

	(void)state;
	expect_ok(toy_create(&t, &c, 4, 50, &why));
	expect_ok(toy_checkpoint(&t, &why));
	/* What is allocated now is all there is. */
	env_sim_set_capacity(sim, 0);
	t.keep[t.kept++] = t.frozen;
	n = fill_disk(&t, 100000, true);
	assert_true(n < 5000);
	assert_non_null(strstr(why.text, "disk is full"));
	assert_int_equal(btree_pager_failure(t.p, &why), 0);
	for (i = 0; i < 5; i++) {
		expect_ok(toy_check(&t, &why));
		/* What leads to free space has a reserve. */
		expect_ok(btree_pages_reserve(t.p, 3, 0, true));
		expect_ok(toy_checkpoint(&t, &why));
	}
	/* Space comes back with the snapshots' end, without opening anew. */
	t.kept = 0;
	expect_ok(toy_checkpoint(&t, &why));
	assert_true(fill_disk(&t, 64, false) == 64);
	expect_ok(toy_checkpoint(&t, &why));
	expect_ok(toy_check(&t, &why));
	toy_close(&t);
	/* And it opens on the full disk, and can go on. */
	expect_ok(toy_open(&t, &c, &why));
	expect_ok(toy_checkpoint(&t, &why));
	expect_ok(toy_check(&t, &why));
	toy_check_numbers(&t);
	toy_close(&t);
	env_sim_free(sim);
}

static void test_end_of_the_file_is_given_back(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct btree_pager_stats st;
	struct toy t;
	uint32_t page, i;
	uint64_t size;

	(void)state;
	expect_ok(toy_create(&t, &c, 4, 50, &why));
	expect_ok(btree_pages_reserve(t.p, 0, 4000, false));
	page = btree_run_new(t.p, 4000, 1);
	for (i = 0; i < 4000; i++) {
		((struct btree_page_header *)btree_page(t.p, page + i))->kind =
			BTREE_PAGE_OVERFLOW;
		btree_page_unpin(t.p, page + i);
	}
	expect_ok(toy_checkpoint(&t, &why));
	for (i = 0; i < 4000; i++)
		btree_page_free(t.p, page + i, 1, t.generation);
	/* One lets go of the pages, the next finds place for its map among them. */
	for (i = 0; i < 3; i++) {
		expect_ok(toy_checkpoint(&t, &why));
		btree_pages_reclaim(t.p, NULL, 0);
	}
	btree_pager_stats(t.p, &st);
	assert_int_equal(st.held_bytes, 0);
	/* What is used, and the reserve. */
	assert_true(st.file_bytes < 2 << 20);
	expect_ok(t.p->io->file->ops->size(t.p->io->file, &size));
	assert_int_equal(size, st.file_bytes);
	toy_check_numbers(&t);
	for (i = 0; i < 300; i++)
		expect_ok(toy_put(&t, i % 200, &why));
	expect_ok(toy_checkpoint(&t, &why));
	toy_close(&t);
	expect_ok(toy_open(&t, &c, &why));
	expect_ok(toy_check(&t, &why));
	toy_check_numbers(&t);
	toy_close(&t);
	env_sim_free(sim);
}

/* Space under a steady load is bounded: what one checkpoint gives back the next uses. */
static void test_steady_overwriting_does_not_grow_the_file(void **state)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .no_journal = true });
	struct btree_pager_config c = toy_config(env_sim_env(sim));
	struct btree_pager_stats st;
	struct toy t;
	unsigned int i, k;

	(void)state;
	expect_ok(toy_create(&t, &c, 4, 50, &why));
	for (i = 0; i < 60; i++) {
		for (k = 0; k < 200; k++)
			expect_ok(toy_put(&t, (unsigned int)(draw() % 200), &why));
		expect_ok(toy_checkpoint(&t, &why));
	}
	btree_pager_stats(t.p, &st);
	/* The tree, its copies of one generation more, the reserve, a chunk. */
	assert_true(st.file_bytes <= 4 * 205 * 4096 + (2 << 20));
	toy_close(&t);
	env_sim_free(sim);
}

#define SPACE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, leak_check_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPACE_TEST(test_no_number_is_given_out_while_a_generation_needs_it),
		SPACE_TEST(test_page_of_one_generation_is_free_at_once),
		SPACE_TEST(test_pinned_number_waits),
		SPACE_TEST(test_failed_checkpoint_lets_go_of_what_it_kept),
		SPACE_TEST(test_many_snapshots_without_memory_for_their_lists),
		SPACE_TEST(test_free_map_is_these_bytes),
		SPACE_TEST(test_file_grows_up_to_its_addresses),
		SPACE_TEST(test_full_disk_refuses_puts_and_never_a_checkpoint),
		SPACE_TEST(test_end_of_the_file_is_given_back),
		SPACE_TEST(test_steady_overwriting_does_not_grow_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
