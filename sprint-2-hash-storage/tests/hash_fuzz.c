/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_fuzz.c - see hash_fuzz.h.
 */
#include "hash_fuzz.h"

#include "../../sprint-1-core-memory/port_fault.h"

enum { VALUE_MAX = 4096, LARGE = 20000, VERSIONS = 8, PLAIN_BYTES = 512 << 10 };

/* ---- keys and values ---- */

static struct kv_slice make_key(char *buf, unsigned int key)
{
	(void)snprintf(buf, 16, "key%02u", key);
	return kv_str(buf);
}

static struct kv_slice make_value(uint8_t *buf, unsigned int key, unsigned int version,
				  size_t bytes)
{
	size_t i, len = 2 + (key * 7 + version * 3) % bytes;

	buf[0] = (uint8_t)key;
	buf[1] = (uint8_t)version;
	for (i = 2; i < len; i++)
		buf[i] = (uint8_t)(key * 31 + version * 17 + i);
	return kv_slice(buf, len);
}

/* Is it a version of the key's value, by its own word, in every byte? */
static bool is_value(unsigned int key, struct kv_slice value)
{
	const uint8_t *p = value.data;
	size_t i;

	if (value.len < 2 || p[0] != key || !p[1] || p[1] > VERSIONS)
		return false;
	for (i = 2; i < value.len; i++)
		if (p[i] != (uint8_t)(key * 31 + p[1] * 17u + i))
			return false;
	return true;
}

/* ---- real stores ---- */

static struct kv *open_real(struct env *env)
{
	struct kv *kv = NULL;

	fuzz_demand(!kv_open(&hash_engine, env, "store", HASH_FUZZ_OPTIONS, &kv, NULL),
		    "a real store does not open");
	return kv;
}

/* Versions from..to of two keys in three each; then every seventh key is deleted. */
static void write_rounds(struct kv *kv, struct hash_fuzz_store *s, unsigned int from,
			 unsigned int to, size_t bytes)
{
	uint8_t value[VALUE_MAX];
	unsigned int key, version;
	char name[16];

	for (version = from; version <= to; version++)
		for (key = 0; key < HASH_FUZZ_KEYS; key++) {
			if ((key + version) % 3 == 0)
				continue;
			fuzz_demand(!kv_put(kv, make_key(name, key),
					    make_value(value, key, version, bytes),
					    key % 8 ? KV_NONE : KV_SYNC),
				    "no put");
			s->version[key] = version;
		}
	for (key = from % 7; key < HASH_FUZZ_KEYS; key += 7) {
		fuzz_demand(!kv_delete(kv, make_key(name, key), KV_NONE), "no delete");
		s->version[key] = 0;
	}
}

/* Fills a segment with what is dead at once, so that cleaning gives it up. */
static void write_large(struct kv *kv)
{
	static uint8_t bytes[LARGE];
	unsigned int i;

	for (i = 0; i < 4; i++)
		fuzz_demand(!kv_put(kv, kv_str("large"),
				    kv_slice(bytes, i < 3 ? LARGE : 100), KV_NONE),
			    "no put");
	fuzz_demand(!kv_delete(kv, kv_str("large"), KV_SYNC), "no delete");
	fuzz_demand(!kv_compact(kv), "no compaction");
}

static int take_file(void *arg, const char *name)
{
	struct hash_fuzz_store *s = arg;
	size_t n = strlen(name);

	if (!strcmp(name, "LOCK") || (n > 6 && !strcmp(name + n - 6, ".spare")))
		return 0;
	fuzz_demand(s->files < HASH_FUZZ_FILES && n < sizeof(s->file[0].name),
		    "a real store has too many files");
	memcpy(s->file[s->files++].name, name, n + 1);
	return 0;
}

/* A segment's empty rest is left out; one that holds nothing at all, too. */
static void take_files(struct env *env, struct hash_fuzz_store *s)
{
	char path[ENV_PATH_MAX];
	size_t i, kept = 0;

	fuzz_demand(!env->ops->list(env, "store", take_file, s), "no list");
	for (i = 0; i < s->files; i++) {
		struct hash_fuzz_file *f = &s->file[i];
		struct kv_buf b = { 0 };

		fuzz_demand(!env_path(path, "store", f->name), "no path");
		fuzz_demand(!env_read_file(env, path, 1 << 20, &b), "no file");
		f->n = b.len;
		if (strstr(f->name, ".log")) {
			while (f->n && !((uint8_t *)b.data)[f->n - 1])
				f->n--;
			f->n = (f->n + 7) & ~(size_t)7;
		}
		f->bytes = fuzz_copy(b.data, f->n);
		kv_buf_free(&b);
		if (strstr(f->name, ".log") && f->n <= 64)
			free(f->bytes);
		else
			s->file[kept++] = *f;
	}
	s->files = kept;
}

static void make_store(struct hash_fuzz_store *s, enum hash_fuzz_kind kind)
{
	struct env_sim *sim = env_sim_new(&(struct env_sim_config){ .seed = 5 + kind });
	struct env_sim_point now = { .loss = SIM_LOSE_NONE };
	struct env_sim *dead;
	struct kv *kv = open_real(env_sim_env(sim));
	unsigned int key;

	if (kind == HASH_FUZZ_RETIRED)
		write_large(kv);
	write_rounds(kv, s, 1, kind == HASH_FUZZ_MANY ? 6 : 2,
		     kind == HASH_FUZZ_MANY ? VALUE_MAX - 2 : 50);
	if (kind == HASH_FUZZ_MANY)
		fuzz_demand(!kv_compact(kv), "no compaction");
	if (kind == HASH_FUZZ_BEHIND) {
		fuzz_demand(!kv_close(kv), "no close");
		kv = open_real(env_sim_env(sim));
		write_rounds(kv, s, 3, 4, 50);
	}
	if (kind == HASH_FUZZ_BEHIND || kind == HASH_FUZZ_RETIRED) {
		now.at = env_sim_position(sim);
		dead = env_sim_crash(sim, &now, false);
		take_files(env_sim_env(dead), s);
		env_sim_free(dead);
		fuzz_demand(!kv_close(kv), "no close");
	} else {
		fuzz_demand(!kv_close(kv), "no close");
		take_files(env_sim_env(sim), s);
	}
	env_sim_free(sim);
	for (key = 0; key < HASH_FUZZ_KEYS; key++)
		s->pairs += s->version[key] != 0;
}

const struct hash_fuzz_store *hash_fuzz_store(enum hash_fuzz_kind kind)
{
	static struct hash_fuzz_store store[HASH_FUZZ_KINDS];

	if (!store[kind].files)
		make_store(&store[kind], kind);
	return &store[kind];
}

const struct hash_fuzz_file *hash_fuzz_find(const struct hash_fuzz_store *s,
					    const char *name)
{
	size_t i;

	for (i = 0; i < s->files; i++)
		if (strstr(s->file[i].name, name))
			return &s->file[i];
	return NULL;
}

void hash_fuzz_put_logs(struct env *env, const struct hash_fuzz_store *s)
{
	char path[ENV_PATH_MAX];
	size_t i;

	fuzz_demand(!env->ops->mkdir(env, "store"), "no directory");
	for (i = 0; i < s->files; i++) {
		if (!strstr(s->file[i].name, ".log"))
			continue;
		fuzz_demand(!env_path(path, "store", s->file[i].name), "no path");
		fuzz_write_file(env, path, s->file[i].bytes, s->file[i].n);
	}
}

/* ---- using one ---- */

static int open_any(struct env *env, const char *options, struct kv **kv)
{
	struct kv_msg why = { "" };
	int error;

	*kv = NULL;
	error = kv_open(&hash_engine, env, "store", options, kv, &why);
	fuzz_demand(!error == (*kv != NULL),
		    "a store in spite of an error, or none without");
	if (error && error != -EBADMSG && error != -EPROTONOSUPPORT) {
		(void)fprintf(stderr, "%d: %s\n", error, why.text);
		fuzz_demand(false, "an error that the bytes can't account for");
	}
	fuzz_demand(!error || why.text[0], "an error without a word");
	return error;
}

static bool was_damaged(struct kv *kv)
{
	struct kv_recovery found;

	kv_recovery(kv, &found);
	return strstr(found.why.text, "the log was read instead");
}

/* exact: as it was; else at least something that was put once. */
static void check_values(struct kv *kv, const struct hash_fuzz_store *truth, bool exact)
{
	struct kv_buf b = { 0 };
	unsigned int key, version;
	char name[16];

	for (key = 0; key < HASH_FUZZ_KEYS; key++) {
		int error = kv_get(kv, make_key(name, key), &b);

		fuzz_demand(!error || error == -ENOENT || (error == -EBADMSG && !exact),
			    "a get failed");
		fuzz_demand(error || is_value(key, kv_slice(b.data, b.len)),
			    "a value that nobody put");
		version = error ? 0 : ((const uint8_t *)b.data)[1];
		fuzz_demand(!exact || version == truth->version[key],
			    "another version than was written last");
	}
	kv_buf_free(&b);
}

/* Of all pairs, in whatever order; -EBADMSG where one can't be read. */
static int digest(struct kv *kv, unsigned int *pairs, uint64_t *sum)
{
	struct kv_cursor *c = NULL;
	int error;

	*pairs = 0;
	*sum = 0;
	fuzz_demand(!kv_cursor(kv, NULL, &c), "no cursor");
	while (!(error = kv_next(c))) {
		uint32_t crc = port_crc32c(0, c->key.data, c->key.len);

		*sum += (uint64_t)crc << 32 |
			port_crc32c(crc, c->value.data, c->value.len);
		++*pairs;
	}
	kv_cursor_close(c);
	fuzz_demand(error == -ENOENT || error == -EBADMSG, "a cursor failed");
	return error == -ENOENT ? 0 : error;
}

/* The index may be so crowded with equal hashes that nothing goes in: then it says so. */
static void write_and_read(struct kv *kv)
{
	struct kv_buf b = { 0 };
	int error = kv_put(kv, kv_str("fresh"), kv_str("air"), KV_SYNC);

	fuzz_demand(!error || error == -ENOSPC || error == -EBADMSG, "a put failed");
	if (!error) {
		error = kv_get(kv, kv_str("fresh"), &b);
		fuzz_demand(!error && !kv_compare(kv_slice(b.data, b.len), kv_str("air")),
			    "what was put is not there");
	}
	kv_buf_free(&b);
	(void)kv_delete(kv, kv_str("fresh"), KV_SYNC);
}

int hash_fuzz_use(struct env *env, const char *options,
		  const struct hash_fuzz_store *truth, size_t file_bytes)
{
	unsigned int met, pairs, again;
	uint64_t sum, sum_again;
	struct kv_msg why = { "" };
	struct kv *kv;
	int error = open_any(env, options, &kv), damaged;

	if (error)
		return error;
	fuzz_demand(port_fault_live_bytes() < PLAIN_BYTES + 8 * (uint64_t)file_bytes,
		    "far more memory than the files can ask for");
	if (truth)
		check_values(kv, truth, was_damaged(kv));
	(void)digest(kv, &met, &sum);
	write_and_read(kv);
	error = kv_compact(kv);
	fuzz_demand(!error || error == -EBADMSG, "a compaction failed");
	error = kv_verify(kv, &why);
	fuzz_demand(!error || (error == -EBADMSG && why.text[0]), "verify failed");
	damaged = digest(kv, &pairs, &sum);
	fuzz_demand(!kv_close(kv), "no close");
	error = open_any(env, options, &kv);
	fuzz_demand(!error, "it does not open again");
	error = digest(kv, &again, &sum_again);
	fuzz_demand(error == damaged, "what can be read has changed");
	fuzz_demand(error || (pairs == again && sum == sum_again), "pairs came or went");
	fuzz_demand(!kv_close(kv), "no close");
	return (int)met;
}
