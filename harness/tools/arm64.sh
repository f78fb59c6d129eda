# shellcheck shell=sh
# arm64.sh - sourced by what builds for arm64 and runs under qemu-user: the libraries, the
# compiler, the words before a program. After it $build is the folder to build in.
#
# The few arm64 libraries that tests link (jansson, xxHash, cmocka, SQLite, LMDB, liburing, LZ4)
# are downloaded as packages and unpacked below build/, with package lists of their own:
# nothing of the machine's set-up changes. Other peers are left out, though a cross compiler sees the
# headers of this machine's own.
build=$(realpath -m "${BUILD:-build}")/arm64
root=$build/root
libraries=$root/usr/lib/aarch64-linux-gnu
packages="libjansson4 libjansson-dev libxxhash-dev libcmocka0 libcmocka-dev libsqlite3-0 libsqlite3-dev liblmdb0 liblmdb-dev
	liburing2 liburing-dev liblz4-1 liblz4-dev"

fetch() {
	state=$build/apt
	mkdir -p "$state/lists/partial" "$state/archives/partial" "$root"
	touch "$state/status"
	options="-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State=$state
		-o Dir::State::lists=$state/lists -o Dir::State::status=$state/status
		-o Dir::Cache=$state -o Dir::Cache::archives=$state/archives -o APT::Sandbox::User=root"
	# shellcheck disable=SC2086
	apt-get $options update -qq
	# shellcheck disable=SC2086
	(cd "$state/archives" && apt-get $options download -qq $packages)
	for deb in "$state"/archives/*.deb; do
		dpkg -x "$deb" "$root"
	done
}

[ -e "$root/usr/include/lz4.h" ] || fetch
export CROSS=aarch64-linux-gnu- PEERS="SQLITE LMDB"
export EXTRA_CFLAGS="-isystem $root/usr/include -isystem $root/usr/include/aarch64-linux-gnu"
export EXTRA_LDFLAGS="-L$libraries -Wl,-rpath-link,$libraries"
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
export QEMU_LD_PREFIX
# qemu-user keeps a description of every page of addresses that a program reserves, and a B+tree
# reserves 256 GiB of them: a few stores, and the machine is out of memory.
# With fewer addresses a store reserves fewer.
RUNNER="qemu-aarch64 -R 8G -E LD_LIBRARY_PATH=$libraries"
export RUNNER
