/* SPDX-License-Identifier: MIT */
/*
 * btree_draw.c - a tree so small that it can be looked at, before and after a split and a
 * merge, and what a snapshot of it costs: as text, or as drawings for the chapter (draw.sh).
 *
 * Nodes have four entries at most (max_keys=4). What is seen is the tree as its pages are,
 * through btree_dump().
 */
#include "../../sprint-2-hash-storage/bench/bench_store.h"
#include "../btree_engine.h"

static char dir[] = "build/btree-draw";

struct scene {
	const char *name; /* of the drawing */
	const char *title;
	const char *put, *delete; /* keys, with blanks between */
};

static const struct scene scenes[] = {
	{ "leaf", "four keys: one leaf, which is the root, and full", "cat ant dog bear",
	  "" },
	{ "split", "a fifth: the leaf is split, and a root grows above it", "bee", "" },
	{ "full", "more keys: the root has four children, and the first is full",
	  "eel fox hare goat jay ibis elk boar", "" },
	{ "grown", "one more: a leaf is split, so is the root, and a new one grows",
	  "bull", "" },
	{ "merged", "four are deleted: neighbours merge, and that root goes again", "",
	  "bee boar cat bear" },
};

enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

static struct kv *open_store(void)
{
	struct kv_msg why = { "" };
	struct kv *kv;

	bench_remove_store(dir);
	if (kv_open(&btree_engine, env_posix(), dir, "max_keys=4", &kv, &why))
		bench_die("%s", why.text);
	return kv;
}

/* One after the other, as a person would. */
static void each_word(struct kv *kv, const char *words, enum kv_op_type type)
{
	size_t n;

	for (; *words; words += n + (words[n] == ' ')) {
		const struct kv_op op = { type, kv_slice(words, n = strcspn(words, " ")),
					  kv_str("a value") };

		bench_must(kv_write(kv, &op, 1, KV_NONE), "write");
	}
}

static void print_line(void *arg, const char *line)
{
	(void)fprintf(arg, "%s\n", line);
}

static void draw(struct kv *kv, const struct scene *s, const char *to)
{
	char path[1100];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/btree-%s.dot", to, s->name);
	out = fopen(path, "w");
	if (!out)
		bench_die("%s cannot be made", path);
	bench_must(btree_dump(kv, BTREE_DUMP_DOT, 4, print_line, out), "dump");
	if (fclose(out))
		bench_die("%s cannot be written", path);
}

/* ---- what a snapshot costs ---- */

static void print_held(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "held_bytes"))
		printf("%s: held_bytes %llu\n", (const char *)arg,
		       (unsigned long long)value);
}

static void print_tree(struct kv *kv, const char *title)
{
	printf("\n%s\n", title);
	bench_must(btree_dump(kv, BTREE_DUMP_TEXT, 4, print_line, stdout), "dump");
}

/* Pages that were dropped stay until the next checkpoint, also without a snapshot. */
static void show_snapshot(struct kv *kv)
{
	char before[] = "before", held[] = "while it is held",
	     released[] = "when it is released, and all tidied";
	struct kv_snapshot *snap;

	(void)putchar('\n');
	kv_stats(kv, print_held, before);
	bench_must(kv_snapshot(kv, &snap), "snapshot");
	each_word(kv, "elk", KV_PUT);
	print_tree(kv, "a snapshot is taken, then \"elk\" overwritten: the way there is "
		       "copied");
	kv_stats(kv, print_held, held);
	kv_release(kv, snap);
	bench_must(kv_compact(kv), "compact");
	kv_stats(kv, print_held, released);
}

/* ---- main ---- */

int main(int argc, char **argv)
{
	struct kv *kv;
	int i;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		(void)fprintf(stderr,
			      "Usage: btree_draw [DIR]\n"
			      "Prints a small tree before and after a split and a "
			      "merge; with DIR, writes it\ninto DIR/btree-*.dot, "
			      "for Graphviz.\n");
		return 2;
	}
	kv = open_store();
	for (i = 0; i < SCENES; i++) {
		each_word(kv, scenes[i].put, KV_PUT);
		each_word(kv, scenes[i].delete, KV_DELETE);
		if (argc == 2) {
			draw(kv, &scenes[i], argv[1]);
			continue;
		}
		print_tree(kv, scenes[i].title);
	}
	if (argc == 1)
		show_snapshot(kv);
	bench_must(kv_close(kv), "close");
	return 0;
}
