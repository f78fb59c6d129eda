/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * btree_files.c - what lies in a B+tree store's directory: see btree_files.h.
 *
 * Where both superblocks are gone, the size of pages is found by trying: a page has its own
 * number and a CRC, which fit at one size alone.
 */
#include "btree_files.h"

enum {
	GUESS_PAGES = 256, /* looked at for each size */
	NUMBERS = 1 << 30, /* of segments that a log can have */
	SEGMENT_MIN = 64 << 10,
};

/* ---- names ---- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static int add_segment(struct btree_files *f, uint64_t named)
{
	if (f->segments == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct btree_segment *grown = port_realloc(
			f->segment, f->cap * sizeof(*grown), cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		f->segment = grown;
		f->cap = cap;
	}
	f->segment[f->segments++] =
		(struct btree_segment){ .named = named, .number = named };
	return 0;
}

static int add_name(void *arg, const char *name)
{
	struct btree_files *f = arg;
	uint64_t number;

	if (log_raw_number(name, &number))
		return add_segment(f, number);
	if (!strcmp(name, "TREE")) {
		f->tree = true;
	} else if (!strcmp(name, BTREE_BACKUP_FILE)) {
		f->backup = true;
	} else if (ends_with(name, ".spare")) {
		f->spares++;
	} else if (ends_with(name, ".tmp")) {
		f->temporaries++;
	} else if (strcmp(name, "LOCK") != 0) {
		if (!f->strangers++)
			(void)kv_quote(f->stranger, sizeof(f->stranger), kv_str(name));
	}
	return 0;
}

/* Taken only where the file is there: making it would be a change. A directory that is
 * read-only has no owner who writes. */
static int take_lock(struct btree_files *f, struct kv_msg *why)
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

/* ---- superblocks ---- */

/* Twice, if need be. */
static int read_at(struct btree_files *f, uint64_t offset, void *data, size_t len)
{
	int error = 0, tries;
	size_t got;

	for (tries = 0; tries < 2; tries++) {
		got = 0;
		error = file_read(f->file, offset, data, len, &got);
		if (!error && got == len)
			return 0;
		if (error == -ENOMEM)
			return error;
	}
	return error ? -EIO : -ENODATA;
}

static int read_place(struct btree_files *f, uint64_t offset,
		      struct btree_place place[BTREE_COPIES])
{
	uint8_t bytes[BTREE_SUPER_BYTES];
	unsigned int i;

	for (i = 0; i < BTREE_COPIES; i++) {
		struct btree_place *p = &place[i];

		p->why.text[0] = '\0';
		p->error =
			read_at(f, offset + i * BTREE_SUPER_COPY, bytes, sizeof(bytes));
		if (p->error == -ENOMEM)
			return p->error;
		if (!p->error)
			p->error = btree_super_decode(&p->super, bytes, &p->why);
		else
			(void)kv_fail(&p->why, 0, "%s",
				      p->error == -EIO ? "the device does not give it"
						       : "the file ends before it");
	}
	return 0;
}

static const struct btree_super *good_copy(const struct btree_place place[BTREE_COPIES])
{
	return !place[0].error   ? &place[0].super
	       : !place[1].error ? &place[1].super
				 : NULL;
}

/* The second place, as far as the first or the place itself says where it is. */
static int read_second(struct btree_files *f)
{
	const struct btree_super *first = good_copy(f->place[0]);
	uint32_t size = first ? first->page_bytes : BTREE_PAGE_MIN;
	int error;

	for (;; size *= 2) {
		const struct btree_super *found;

		error = read_place(f, size, f->place[1]);
		found = good_copy(f->place[1]);
		if (error || first || (found && found->page_bytes == size) ||
		    size == BTREE_PAGE_MAX)
			break;
	}
	return error;
}

/* As btree_super_read() decides. */
static void choose_super(struct btree_files *f)
{
	const struct btree_super *a = good_copy(f->place[0]), *b = good_copy(f->place[1]);

	if (!a && !b)
		return;
	f->has_super = true;
	f->super = !a || (b && b->sequence > a->sequence) ? *b : *a;
	f->shape.page_bytes = f->super.page_bytes;
}

static int guess_page_bytes(struct btree_files *f)
{
	uint32_t size, page, fits, most = 0;
	uint8_t *image = port_alloc_aligned(64, BTREE_PAGE_MAX);
	int error = image ? 0 : -ENOMEM;

	for (size = BTREE_PAGE_MIN; !error && size <= BTREE_PAGE_MAX; size *= 2) {
		fits = 0;
		for (page = BTREE_SUPER_PAGES; !error && page < GUESS_PAGES; page++) {
			error = read_at(f, (uint64_t)page * size, image, size);
			if (error == -EIO) {
				error = 0;
				continue;
			}
			if (!error)
				fits += port_get_le32(image + 4) == page &&
					port_get_le32(image) ==
						port_crc32c(0, image + 4, size - 4);
		}
		if (error == -ENODATA)
			error = 0;
		if (fits > most) {
			most = fits;
			f->shape.page_bytes = size;
		}
	}
	port_free_aligned(image);
	return error;
}

static int read_tree(struct btree_files *f)
{
	char path[ENV_PATH_MAX];
	int error = env_path(path, f->dir, f->tree ? "TREE" : BTREE_BACKUP_FILE);

	if (!error)
		error = env_open(f->env, path, ENV_READ, &f->file);
	if (!error)
		error = f->file->ops->size(f->file, &f->bytes);
	if (error) {
		file_close(f->file);
		f->file = NULL;
		return error == -ENOMEM ? error : 0;
	}
	error = read_place(f, 0, f->place[0]);
	if (!error)
		error = read_second(f);
	if (error)
		return error;
	choose_super(f);
	if (!f->has_super)
		error = guess_page_bytes(f);
	if (f->shape.page_bytes)
		f->pages = (uint32_t)(f->bytes / f->shape.page_bytes < UINT32_MAX
					      ? f->bytes / f->shape.page_bytes
					      : UINT32_MAX - 1);
	return error;
}

/* ---- segments ---- */

static int read_headers(struct btree_files *f)
{
	size_t i;
	int error;

	for (i = 0; i < f->segments; i++) {
		struct btree_segment *s = &f->segment[i];
		struct log_raw raw;

		error = log_raw_open(f->env, f->dir, s->named, &raw);
		if (error == -ENOMEM)
			return error;
		s->role = BTREE_FILE_DAMAGED;
		if (error)
			continue;
		s->size = raw.size;
		if (raw.header_error == -EPROTONOSUPPORT)
			s->role = BTREE_FILE_NEWER;
		if (raw.header_error)
			continue;
		s->role = BTREE_FILE_OURS;
		s->number = raw.header.number;
		s->units = raw.header.units;
		s->store_id = raw.header.store_id;
		s->segment_bytes = raw.header.segment_bytes;
	}
	return 0;
}

static bool is_segment_size(uint64_t n)
{
	return n >= SEGMENT_MIN && n <= (uint64_t)1 << 32 && !(n & (n - 1));
}

/* Where every header is damaged: the checkpoint's position lies in a segment whose name and
 * size agree with it at one size of segments alone. (At number 0 with any, and all mean the
 * same.) */
static void deduce_segment_bytes(struct btree_files *f)
{
	uint64_t position = f->super.log_position, size;
	size_t i;

	for (size = SEGMENT_MIN; is_segment_size(size); size *= 2)
		for (i = 0; i < f->segments; i++)
			if (f->segment[i].role == BTREE_FILE_DAMAGED &&
			    f->segment[i].named == position / size &&
			    position % size >= LOG_SEGMENT_HEADER_BYTES &&
			    position % size <= f->segment[i].size) {
				f->segment_bytes = size;
				return;
			}
}

/* The superblock says which store it is, else most of the segments do. */
static void identify(struct btree_files *f)
{
	size_t i, j, n, most = 0;

	if (f->has_super)
		f->id = f->super.store_id;
	for (i = 0; i < f->segments; i++) {
		const struct btree_segment *s = &f->segment[i];

		if (s->role != BTREE_FILE_OURS || !is_segment_size(s->segment_bytes) ||
		    (f->has_super && s->store_id != f->id))
			continue;
		for (n = j = 0; j < f->segments; j++)
			n += f->segment[j].role == BTREE_FILE_OURS &&
			     f->segment[j].store_id == s->store_id &&
			     f->segment[j].segment_bytes == s->segment_bytes;
		if (n <= most)
			continue;
		most = n;
		f->id = s->store_id;
		f->segment_bytes = s->segment_bytes;
	}
	if (!f->segment_bytes && f->has_super && f->super.log_position)
		deduce_segment_bytes(f);
}

/* Under its own name, or under another one that was met before this file. */
static bool is_there(const struct btree_files *f, uint64_t number, size_t this)
{
	size_t i;

	for (i = 0; i < f->segments; i++) {
		enum btree_role role = f->segment[i].role;

		if (i == this || f->segment[i].number != number)
			continue;
		if (role == BTREE_FILE_OURS || (role == BTREE_FILE_MISPLACED && this > i))
			return true;
	}
	return false;
}

static void assign_role(struct btree_files *f, struct btree_segment *s)
{
	if (s->role == BTREE_FILE_DAMAGED && s->named < NUMBERS && f->segment_bytes) {
		s->units =
			(uint32_t)((s->size + f->segment_bytes - 1) / f->segment_bytes);
		s->units += !s->units;
	} else if (s->role == BTREE_FILE_DAMAGED) {
		s->role = BTREE_FILE_FOREIGN;
	} else if (s->role == BTREE_FILE_OURS) {
		if (s->store_id != f->id || s->segment_bytes != f->segment_bytes ||
		    !s->units || s->number >= NUMBERS || s->units > NUMBERS)
			s->role = BTREE_FILE_FOREIGN;
		else if (s->number != s->named)
			s->role = BTREE_FILE_MISPLACED;
	}
}

static int compare_segments(const void *a, const void *b)
{
	const struct btree_segment *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->named > y->named) - (x->named < y->named);
}

static void assign_roles(struct btree_files *f)
{
	size_t i;

	for (i = 0; i < f->segments; i++)
		assign_role(f, &f->segment[i]);
	for (i = 0; i < f->segments; i++) {
		struct btree_segment *s = &f->segment[i];

		if (s->role == BTREE_FILE_MISPLACED && is_there(f, s->number, i))
			s->role = BTREE_FILE_DUPLICATE;
		if (s->role >= BTREE_FILE_DUPLICATE)
			s->number = s->named;
	}
	if (f->segments)
		port_sort(f->segment, f->segments, sizeof(*f->segment), compare_segments);
}

/* ---- the whole ---- */

static int refuse(const struct btree_files *f, struct kv_msg *why)
{
	unsigned int place, copy;

	for (place = 0; place < BTREE_PLACES; place++)
		for (copy = 0; f->file && copy < BTREE_COPIES; copy++)
			if (f->place[place][copy].error == -EPROTONOSUPPORT)
				return kv_fail(why, -EPROTONOSUPPORT, "%s/TREE: %s",
					       f->dir, f->place[place][copy].why.text);
	if (!f->tree && !f->backup && !f->segments)
		return kv_fail(why, -ENOENT, "%s: no file of a B+tree store is here",
			       f->dir);
	if (!f->shape.page_bytes && !f->segment_bytes)
		return kv_fail(why, -EBADMSG,
			       "%s: no page and no segment here is whole: nothing says "
			       "which store it is of",
			       f->dir);
	return 0;
}

int btree_files_open(struct env *env, const char *dir, struct btree_files *out,
		     struct kv_msg *why)
{
	int error;

	*out = (struct btree_files){ .env = env,
				     .dir = dir,
				     .shape = { .max_keys = UINT32_MAX } };
	error = env->ops->list(env, dir, add_name, out);
	if (error && error != -ENOMEM)
		(void)kv_fail(why, error, "%s: cannot be listed", dir);
	if (!error)
		error = take_lock(out, why);
	if (!error && (out->tree || out->backup))
		error = read_tree(out);
	if (!error)
		error = read_headers(out);
	if (error == -ENOMEM)
		(void)kv_fail(why, error, "no memory to look at %s", dir);
	if (error)
		goto out;
	identify(out);
	assign_roles(out);
	error = refuse(out, why);
out:
	if (error)
		btree_files_close(out);
	return error;
}

void btree_files_close(struct btree_files *f)
{
	file_close(f->file);
	if (f->lock)
		f->env->ops->unlock(f->env, f->lock);
	port_free(f->segment);
	*f = (struct btree_files){ 0 };
}

/* ---- pages ---- */

int btree_files_read(struct btree_files *f, uint32_t page, void *image)
{
	uint32_t size = f->shape.page_bytes;
	int error;

	if (page >= f->pages)
		return -ENODATA;
	error = read_at(f, (uint64_t)page * size, image, size);
	f->unreadable += error == -EIO;
	return error;
}

int btree_files_page(const struct btree_files *f, uint32_t page, const void *image,
		     uint32_t crc, struct kv_msg *why)
{
	uint32_t size = f->shape.page_bytes;
	uint32_t sum = port_crc32c(0, (const uint8_t *)image + 4, size - 4);
	const struct btree_page_header *h = image;

	if (h->crc != sum)
		return kv_fail(why, -EBADMSG, "CRC %08x, wanted %08x", sum, h->crc);
	if (crc && crc != sum)
		return kv_fail(why, -EBADMSG,
			       "not the one that was written last: CRC %08x, its parent "
			       "has %08x",
			       sum, crc);
	if (h->page != page)
		return kv_fail(why, -EBADMSG, "holds page %u", h->page);
	if (h->kind == BTREE_PAGE_NODE)
		return btree_node_check(image, &f->shape, why);
	if ((h->kind == BTREE_PAGE_OVERFLOW || h->kind == BTREE_PAGE_FREE_MAP) &&
	    !h->level && h->used <= size - sizeof(*h))
		return 0;
	return kv_fail(why, -EBADMSG, "of no known kind: %u", h->kind);
}

static int see(uint64_t *seen, uint32_t page, struct kv_msg *why)
{
	if (!seen)
		return 0;
	if (btree_bit(seen, page))
		return kv_fail(why, -EBADMSG, "page %u is used twice", page);
	btree_bit_set(seen, page);
	return 0;
}

int btree_files_value(struct btree_files *f, const struct btree_overflow *o,
		      struct kv_buf *value, uint64_t *seen, struct kv_msg *why)
{
	size_t room = f->shape.page_bytes - sizeof(struct btree_page_header), done, n;
	struct btree_page_header *h = port_alloc_aligned(64, f->shape.page_bytes);
	struct kv_msg what = { "" };
	uint32_t page = o->page, crc = 0;
	int error = h ? 0 : -ENOMEM;

	if (value)
		value->len = 0;
	for (done = 0; !error && done < o->bytes; done += n, page++) {
		n = o->bytes - done < room ? o->bytes - done : room;
		error = page < BTREE_SUPER_PAGES ? -ENODATA
						 : btree_files_read(f, page, h);
		if (!error)
			error = btree_files_page(f, page, h, 0, &what);
		if (!error && (h->kind != BTREE_PAGE_OVERFLOW || h->used != n ||
			       h->birth != o->birth))
			error = kv_fail(&what, -EBADMSG, "not the value's");
		if (error && error != -ENOMEM)
			error = kv_fail(why, -EBADMSG, "page %u: %s", page,
					what.text[0]    ? what.text
					: error == -EIO ? "the device does not give it"
							: "beyond the file's end");
		if (!error)
			error = see(seen, page, why);
		if (!error)
			crc = port_crc32c(crc, h + 1, n);
		if (!error && value)
			error = kv_buf_append(value, h + 1, n);
	}
	if (!error && crc != o->crc)
		error = kv_fail(why, -EBADMSG, "CRC %08x, wanted %08x", crc, o->crc);
	port_free_aligned(h);
	return error;
}

/* ---- is it one at all? ---- */

static bool has_magic(struct env *env, const char *dir, const char *name)
{
	struct btree_files f = { .env = env, .dir = dir };
	char path[ENV_PATH_MAX];
	uint8_t p[8];
	uint32_t at;
	bool found = false;

	if (env_path(path, dir, name) || env_open(env, path, ENV_READ, &f.file))
		return false;
	for (at = 0; !found && at <= BTREE_PAGE_MAX; at = at ? 2 * at : BTREE_PAGE_MIN)
		found = !read_at(&f, at, p, sizeof(p)) && !memcmp(p, "KVBTREE1", 8);
	file_close(f.file);
	return found;
}

enum kv_recognised btree_files_recognise(struct env *env, const char *dir)
{
	struct btree_files f = { 0 };
	enum kv_recognised mine = KV_NOT_MINE;

	if (!env->ops->list(env, dir, add_name, &f)) {
		if (f.tree || f.backup || f.segments)
			mine = KV_PERHAPS_MINE;
		/* No other engine has a TREE beside a log. */
		if ((f.tree && f.segments) || has_magic(env, dir, "TREE") ||
		    has_magic(env, dir, BTREE_BACKUP_FILE))
			mine = KV_MINE;
	}
	port_free(f.segment);
	return mine;
}
