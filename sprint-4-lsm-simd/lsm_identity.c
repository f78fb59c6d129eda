/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * lsm_identity.c - the file STORE: that the directory is a store, whose, and of which format.
 *
 *   0   8  magic "LSMSTORE"
 *   8   2  major version: another can't be read
 *   10  2  minor version: a newer one can
 *   12  4  incompatible features: an unknown one can't be read
 *   16  8  identity
 *   24  8  bytes of a log segment: a power of two, 2^16 to 2^32
 *   32  12 0
 *   44  4  CRC32C of all before it
 */
#include "lsm_store.h"

enum { MAJOR = 1, MINOR = 0, FEATURES = 0 };

/* As the option segment_bytes. */
#define SEGMENT_MIN (64ull << 10)
#define SEGMENT_MAX (4ull << 30)

static const char magic[8] = { 'L', 'S', 'M', 'S', 'T', 'O', 'R', 'E' };

int lsm_identity_write(struct env *env, const char *dir, const struct lsm_identity *i)
{
	uint8_t b[LSM_IDENTITY_BYTES] = { 0 };

	memcpy(b, magic, sizeof(magic));
	port_put_le16(b + 8, MAJOR);
	port_put_le16(b + 10, MINOR);
	port_put_le32(b + 12, FEATURES);
	port_put_le64(b + 16, i->id);
	port_put_le64(b + 24, i->segment_bytes);
	port_put_le32(b + 44, port_crc32c(0, b, 44));
	return env_write_file(env, dir, "STORE", b, sizeof(b));
}

static int decode(const char *dir, const uint8_t *b, size_t n, struct lsm_identity *i,
		  struct kv_msg *why)
{
	if (n != LSM_IDENTITY_BYTES || memcmp(b, magic, sizeof(magic)))
		return kv_fail(why, -EBADMSG, "%s/STORE: is not of an LSM store", dir);
	if (port_get_le32(b + 44) != port_crc32c(0, b, 44))
		return kv_fail(why, -EBADMSG,
			       "%s/STORE: its checksum is wrong: restore a backup", dir);
	if (port_get_le16(b + 8) != MAJOR || port_get_le32(b + 12) & ~(uint32_t)FEATURES)
		return kv_fail(
			why, -EPROTONOSUPPORT,
			"%s/STORE: format %u, features %x: made by a newer version, "
			"which is needed to open it",
			dir, port_get_le16(b + 8), port_get_le32(b + 12));
	i->id = port_get_le64(b + 16);
	i->segment_bytes = port_get_le64(b + 24);
	if (i->segment_bytes < SEGMENT_MIN || i->segment_bytes > SEGMENT_MAX ||
	    i->segment_bytes & (i->segment_bytes - 1))
		return kv_fail(why, -EBADMSG,
			       "%s/STORE: log segments of %llu bytes: restore a backup",
			       dir, (unsigned long long)i->segment_bytes);
	return 0;
}

int lsm_identity_read(struct env *env, const char *dir, struct lsm_identity *i,
		      struct kv_msg *why)
{
	struct kv_buf b = { 0 };
	char path[ENV_PATH_MAX];
	int error = env_path(path, dir, "STORE");

	if (!error)
		error = env_read_file(env, path, LSM_IDENTITY_BYTES, &b);
	if (error == -EFBIG)
		error = 0; /* decode() says what it is */
	else if (error && error != -ENOENT)
		(void)kv_fail(why, error, "%s: cannot be read (error %d)", path, -error);
	if (!error)
		error = decode(dir, b.data, b.len, i, why);
	kv_buf_free(&b);
	return error;
}
