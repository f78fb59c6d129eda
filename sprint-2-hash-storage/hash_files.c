/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * hash_files.c - what lies in a hash store's directory: see hash_files.h.
 *
 * Which store is it, if STORE is gone or another's? Each segment's header carries the id
 * and the segment size under a CRC, so most of the files know.
 */
#include "hash_files.h"

/* ---- names ---- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int add_file(struct hash_files *f, uint64_t named)
{
	if (f->files == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct hash_file *grown = port_realloc(f->file, f->cap * sizeof(*grown),
						       cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		f->file = grown;
		f->cap = cap;
	}
	f->file[f->files++] = (struct hash_file){ .named = named, .number = named };
	return 0;
}

static int add_name(void *arg, const char *name)
{
	struct hash_files *f = arg;
	uint64_t number;

	if (log_raw_number(name, &number))
		return add_file(f, number);
	if (ends_with(name, ".spare")) {
		f->spares++;
	} else if (ends_with(name, ".tmp")) {
		f->temporaries++;
	} else if (!strcmp(name, "INDEX")) {
		f->index.there = true;
	} else if (strcmp(name, "STORE") != 0 && strcmp(name, "LOCK") != 0) {
		if (!f->strangers++)
			(void)kv_quote(f->stranger, sizeof(f->stranger), kv_str(name));
	}
	return 0;
}

/* Taken only where the file is there: making it would be a change. A directory that is
 * read-only has no owner who writes. */
static int take_lock(struct hash_files *f, struct kv_msg *why)
{
	struct file *probe = NULL;
	char path[ENV_PATH_MAX];
	int error = env_path(path, f->dir, "LOCK");

	if (error)
		return kv_fail(why, error, "the store's path is too long");
	if (env_open(f->env, path, ENV_READ, &probe))
		return 0;
	file_close(probe);
	error = f->env->ops->lock(f->env, path, &f->lock);
	if (error == -EBUSY)
		return kv_fail(why, error, "%s: open elsewhere; close it there first",
			       f->dir);
	return error == -ENOMEM ? error : 0;
}

/* ---- STORE ---- */

static int read_identity(struct hash_files *f)
{
	struct kv_buf b = { 0 };
	char path[ENV_PATH_MAX];
	int error = env_path(path, f->dir, "STORE");

	if (!error)
		error = env_read_file(f->env, path, HASH_IDENTITY_BYTES, &b);
	if (error == -EFBIG)
		error = kv_fail(&f->identity_why, -EBADMSG, "not a hash store's");
	else if (error == -ENOENT)
		(void)kv_fail(&f->identity_why, error, "missing");
	else if (error)
		(void)kv_fail(&f->identity_why, error, "cannot be read (error %d)",
			      -error);
	else
		error = hash_identity_decode(&f->identity, b.data, b.len,
					     &f->identity_why);
	kv_buf_free(&b);
	f->identity_error = error;
	return error == -ENOMEM ? error : 0;
}

/* ---- segments ---- */

static int read_headers(struct hash_files *f)
{
	size_t i;
	int error = 0;

	for (i = 0; !error && i < f->files; i++) {
		struct hash_file *file = &f->file[i];
		struct log_raw raw;

		error = log_raw_open(f->env, f->dir, file->named, &raw);
		if (error && error != -ENOMEM) {
			file->role = HASH_FILE_DAMAGED;
			error = 0;
			continue;
		}
		if (error)
			break;
		file->size = raw.size;
		file->role = raw.header_error == -EPROTONOSUPPORT ? HASH_FILE_NEWER
			     : raw.header_error                   ? HASH_FILE_DAMAGED
								  : HASH_FILE_OURS;
		if (raw.header_error)
			continue;
		file->number = raw.header.number;
		file->units = raw.header.units;
		file->store_id = raw.header.store_id;
		file->segment_bytes = raw.header.segment_bytes;
	}
	return error;
}

static size_t votes(const struct hash_files *f, uint64_t id, uint64_t segment_bytes)
{
	size_t i, n = f->index.listed && f->index.header.store_id == id &&
		      f->index.header.segment_bytes == segment_bytes;

	for (i = 0; i < f->files; i++)
		n += f->file[i].role == HASH_FILE_OURS && f->file[i].store_id == id &&
		     f->file[i].segment_bytes == segment_bytes;
	return n;
}

static void elect(struct hash_files *f, uint64_t id, uint64_t segment_bytes, size_t *most)
{
	size_t n;

	if (f->known && f->id == id && f->segment_bytes == segment_bytes)
		return;
	n = votes(f, id, segment_bytes);
	if (n <= *most || segment_bytes < HASH_SEGMENT_MIN ||
	    segment_bytes > HASH_SEGMENT_MAX || (segment_bytes & (segment_bytes - 1)))
		return;
	*most = n;
	f->known = f->known_by_files = true;
	f->id = id;
	f->segment_bytes = segment_bytes;
}

/* STORE counts, unless nothing here agrees with it and something agrees on another. */
static void identify(struct hash_files *f)
{
	size_t i, most = 0;

	if (!f->identity_error && votes(f, f->identity.id, f->identity.segment_bytes)) {
		f->known = true;
		f->id = f->identity.id;
		f->segment_bytes = f->identity.segment_bytes;
		return;
	}
	for (i = 0; i < f->files; i++)
		if (f->file[i].role == HASH_FILE_OURS)
			elect(f, f->file[i].store_id, f->file[i].segment_bytes, &most);
	if (f->index.listed)
		elect(f, f->index.header.store_id, f->index.header.segment_bytes, &most);
	if (f->known || f->identity_error)
		return;
	f->known = true;
	f->id = f->identity.id;
	f->segment_bytes = f->identity.segment_bytes;
}

/* Under its own name, or under another one that was met before this file. */
static bool is_there(const struct hash_files *f, uint64_t number, size_t this)
{
	size_t i;

	for (i = 0; i < f->files; i++) {
		enum hash_role role = f->file[i].role;

		if (i == this || f->file[i].number != number)
			continue;
		if (role == HASH_FILE_OURS || (role == HASH_FILE_MISPLACED && this > i))
			return true;
	}
	return false;
}

static void assign_roles(struct hash_files *f)
{
	size_t i;

	for (i = 0; i < f->files; i++) {
		struct hash_file *file = &f->file[i];

		if (file->role == HASH_FILE_DAMAGED && file->named < HASH_NUMBERS) {
			file->units = (uint32_t)((file->size + f->segment_bytes - 1) /
						 f->segment_bytes);
			file->units += !file->units;
			continue;
		}
		if (file->role == HASH_FILE_DAMAGED)
			file->role = HASH_FILE_FOREIGN;
		if (file->role != HASH_FILE_OURS)
			continue;
		if (file->store_id != f->id || file->segment_bytes != f->segment_bytes ||
		    !file->units || file->number >= HASH_NUMBERS ||
		    file->units > HASH_NUMBERS)
			file->role = HASH_FILE_FOREIGN;
		else if (file->number != file->named)
			file->role = HASH_FILE_MISPLACED;
	}
	for (i = 0; i < f->files; i++) {
		if (f->file[i].role == HASH_FILE_MISPLACED &&
		    is_there(f, f->file[i].number, i))
			f->file[i].role = HASH_FILE_DUPLICATE;
		if (f->file[i].role >= HASH_FILE_DUPLICATE)
			f->file[i].number = f->file[i].named;
	}
}

static int compare_files(const void *a, const void *b)
{
	const struct hash_file *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->named > y->named) - (x->named < y->named);
}

/* ---- INDEX ---- */

struct index_reader {
	struct hash_image *image;
	struct file *f;
	uint64_t offset;
	struct kv_buf in;
};

/* 0; 1: the image is damaged here; or -ENOMEM. */
static int read_on(struct index_reader *r, size_t len, size_t at)
{
	size_t got = 0;
	int error = len > r->image->bytes - r->offset ? -EBADMSG
						      : kv_buf_reserve(&r->in, at + len);

	if (error == -ENOMEM)
		return error;
	if (!error)
		error = file_read(r->f, r->offset, (uint8_t *)r->in.data + at, len, &got);
	if (error || got < len) {
		r->image->wrong =
			error && error != -EBADMSG ? "cannot be read" : "ends too early";
		return 1;
	}
	r->offset += len;
	return 0;
}

static int read_list(struct index_reader *r)
{
	struct hash_image *image = r->image;
	size_t n, i, bytes;
	const uint8_t *p;
	int error = read_on(r, HASH_INDEX_HEADER_BYTES, 0);

	if (error)
		return error;
	image->wrong = hash_index_header_decode(&image->header, r->in.data);
	if (image->wrong)
		return 1;
	n = (size_t)image->header.segments;
	bytes = n * HASH_INDEX_SEGMENT_BYTES;
	image->wrong_at = r->offset;
	error = read_on(r, bytes + HASH_INDEX_LIST_TAIL_BYTES, 0);
	if (error)
		return error;
	p = r->in.data;
	if (port_get_le32(p + bytes) != port_crc32c(0, p, bytes)) {
		image->wrong = "list of segments damaged";
		return 1;
	}
	image->not_zero += port_get_le32(p + bytes + 4) != 0;
	image->list = port_alloc(n * sizeof(*image->list));
	if (!image->list)
		return -ENOMEM;
	for (i = 0; i < n; i++, p += HASH_INDEX_SEGMENT_BYTES)
		image->list[i] =
			(struct hash_listed){ port_get_le64(p), port_get_le64(p + 8),
					      port_get_le64(p + 16) };
	image->listed = true;
	return 0;
}

static int add_entries(struct hash_image *image, const uint8_t *p, uint32_t n)
{
	if (image->cap - image->entries < n) {
		size_t cap = image->cap * 2 + n;
		struct hash_entry *grown = port_realloc(
			image->entry, image->cap * sizeof(*grown), cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		image->entry = grown;
		image->cap = cap;
	}
	for (; n; n--, p += HASH_INDEX_ENTRY_BYTES)
		image->entry[image->entries++] =
			(struct hash_entry){ .hash = port_get_le64(p),
					     .address = port_get_le64(p + 8) };
	return 0;
}

static int read_block(struct index_reader *r, uint32_t *entries)
{
	struct hash_image *image = r->image;
	const uint8_t *p;
	int error;

	image->wrong_at = r->offset;
	error = read_on(r, HASH_INDEX_BLOCK_HEADER_BYTES, 0);
	if (error)
		return error;
	*entries = port_get_le32(r->in.data);
	image->wrong = "block damaged";
	if (*entries > HASH_INDEX_BLOCK_MAX)
		return 1;
	error = read_on(r, (size_t)*entries * HASH_INDEX_ENTRY_BYTES,
			HASH_INDEX_BLOCK_HEADER_BYTES);
	if (error)
		return error;
	p = r->in.data;
	if (port_get_le32(p + 4) != image->blocks ||
	    port_get_le32(p + 8) != hash_index_block_crc(p, *entries))
		return 1;
	image->blocks++;
	image->not_zero += port_get_le32(p + 12) != 0;
	image->wrong = NULL;
	return add_entries(image, p + HASH_INDEX_BLOCK_HEADER_BYTES, *entries);
}

static int compare_entries(const void *a, const void *b)
{
	const struct hash_entry *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/* What is wrong with it stands in the image: a checkpoint is never needed. */
static int read_index(struct hash_files *f)
{
	struct index_reader r = { .image = &f->index };
	uint32_t entries = 1;
	char path[ENV_PATH_MAX];
	int error = env_path(path, f->dir, "INDEX");

	if (!error)
		error = env_open(f->env, path, ENV_READ, &r.f);
	if (!error)
		error = r.f->ops->size(r.f, &f->index.bytes);
	if (error) {
		f->index.wrong = "cannot be opened";
		return error == -ENOMEM ? error : 0;
	}
	error = read_list(&r);
	while (!error && entries)
		error = read_block(&r, &entries);
	if (!error && r.offset < f->index.bytes) {
		f->index.wrong = "bytes behind its end";
		f->index.wrong_at = r.offset;
	}
	if (f->index.entries)
		port_sort(f->index.entry, f->index.entries, sizeof(*f->index.entry),
			  compare_entries);
	file_close(r.f);
	kv_buf_free(&r.in);
	return error < 0 ? error : 0;
}

/* The first entry at or above an address. */
static size_t lower_bound(const struct hash_image *image, uint64_t address)
{
	size_t low = 0, high = image->entries;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->entry[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t hash_image_count(const struct hash_image *image, uint64_t begin, uint64_t end)
{
	return lower_bound(image, (end + LOG_ALIGN - 1) / LOG_ALIGN) -
	       lower_bound(image, (begin + LOG_ALIGN - 1) / LOG_ALIGN);
}

bool hash_image_has(const struct hash_image *image, uint64_t position)
{
	size_t i = lower_bound(image, position / LOG_ALIGN);

	return i < image->entries && image->entry[i].address == position / LOG_ALIGN;
}

/* ---- the whole ---- */

static int refuse_newer(const struct hash_files *f, struct kv_msg *why)
{
	if (f->identity_error == -EPROTONOSUPPORT)
		return kv_fail(why, -EPROTONOSUPPORT, "%s/STORE: %s", f->dir,
			       f->identity_why.text);
	if (!f->known)
		return kv_fail(why, f->files ? -EBADMSG : -ENOENT, "%s: %s", f->dir,
			       f->files ? "no file here says which store it is of"
					: "no file of a hash store is here");
	return 0;
}

int hash_files_open(struct env *env, const char *dir, struct hash_files *out,
		    struct kv_msg *why)
{
	int error;

	*out = (struct hash_files){ .env = env, .dir = dir };
	error = env->ops->list(env, dir, add_name, out);
	if (error == -ENOMEM)
		goto out;
	if (error) {
		(void)kv_fail(why, error, "%s: cannot be listed", dir);
		goto out;
	}
	error = take_lock(out, why);
	if (error)
		goto out;
	error = read_identity(out);
	if (!error)
		error = read_headers(out);
	if (!error && out->index.there)
		error = read_index(out);
	if (error) {
		(void)kv_fail(why, error, "no memory to look at %s", dir);
		goto out;
	}
	identify(out);
	error = refuse_newer(out, why);
	if (error)
		goto out;
	/* A checkpoint of another store says nothing of this one. */
	if (out->index.listed &&
	    (out->index.header.store_id != out->id ||
	     out->index.header.segment_bytes != out->segment_bytes)) {
		out->index.wrong = "of another store";
		out->index.wrong_at = 0;
		out->index.listed = false;
		out->index.entries = 0;
	}
	assign_roles(out);
	if (out->files)
		port_sort(out->file, out->files, sizeof(*out->file), compare_files);
out:
	if (error)
		hash_files_close(out);
	return error;
}

void hash_files_close(struct hash_files *f)
{
	if (f->lock)
		f->env->ops->unlock(f->env, f->lock);
	port_free(f->file);
	port_free(f->index.list);
	port_free(f->index.entry);
	*f = (struct hash_files){ 0 };
}

/* ---- is it one at all? ---- */

static bool begins_with(struct env *env, const char *dir, const char *name,
			const char *magic)
{
	struct file *f = NULL;
	char path[ENV_PATH_MAX];
	uint8_t p[8];
	size_t got = 0;
	bool same;

	if (env_path(path, dir, name) || env_open(env, path, ENV_READ, &f))
		return false;
	same = !file_read(f, 0, p, sizeof(p), &got) && got == sizeof(p) &&
	       !memcmp(p, magic, sizeof(p));
	file_close(f);
	return same;
}

static int find_segment(void *arg, const char *name)
{
	uint64_t number;

	(void)arg;
	return log_raw_number(name, &number) ? 1 : 0;
}

enum kv_recognised hash_recognise(struct env *env, const char *dir)
{
	if (begins_with(env, dir, "STORE", HASH_IDENTITY_MAGIC) ||
	    begins_with(env, dir, "INDEX", HASH_INDEX_MAGIC))
		return KV_MINE;
	return env->ops->list(env, dir, find_segment, NULL) == 1 ? KV_PERHAPS_MINE
								 : KV_NOT_MINE;
}
