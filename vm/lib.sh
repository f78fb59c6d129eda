# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# lib.sh - what the scripts of vm/ share: words for failing, names of architectures, the
# cache of kernels, and a private apt that fetches packages of any architecture without root
# and without changing what the host's own apt and dpkg know.
#
#   VM_CACHE   where fetched packages and built kernels are kept; may be removed at any time
#   VM_KERNEL_VERSION   6.1 (the series whose source makes the lab kernel)

VM_CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/storage-workbench}
vm_dir=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$vm_dir")

say() {
	echo "vm: $*" >&2
}

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

need() { # program, package
	command -v "$1" >/dev/null || die "$1 is missing: install the package $2, or run make deps-vm"
}

host_arch() {
	dpkg --print-architecture
}

check_arch() {
	case "$1" in
	amd64 | arm64) ;;
	*) die "no architecture \"$1\": amd64 or arm64" ;;
	esac
}

# Takes --arch, --kernel or --machine and the word behind it into the variable of that name.
# Returns 1 when $1 is none of them.
machine_option() {
	case "$1" in
	--arch | --kernel | --machine) [ $# -gt 1 ] || die "$1 wants a word behind it" ;;
	esac
	case "$1" in
	--arch) arch=$2 ;;
	--kernel) kernel=$2 ;;
	--machine) machine=$2 ;;
	*) return 1 ;;
	esac
}

# The options that most scripts share: sets arch, kernel and machine, and taken to how many
# words they were. The first word that is none of them ends it.
#
#	machine_options "$@"
#	shift "$taken"
machine_options() {
	arch=$(host_arch) kernel=stock machine="" taken=0
	while [ $# -gt 0 ] && machine_option "$@"; do
		taken=$((taken + 2))
		shift 2
	done
}

# The kernel's own words for an architecture.
kernel_arch() {
	case "$1" in
	amd64) echo x86 ;;
	arm64) echo arm64 ;;
	esac
}

# The prefix of the compiler that makes code for an architecture on this host.
cross_prefix() {
	[ "$1" = "$(host_arch)" ] && return
	case "$1" in
	amd64) echo x86_64-linux-gnu- ;;
	arm64) echo aarch64-linux-gnu- ;;
	esac
}

# A hold on a folder of the cache, for as long as this shell lives.
hold() { # file
	mkdir -p "$(dirname "$1")"
	exec 9>"$1"
	flock 9
}

# Lists of packages of one architecture, in a folder of their own. The sources are those of
# the host that come from Debian.
apt_dir() {
	echo "$VM_CACHE/apt-$1"
}

apt_private() { # architecture, program, arguments...
	_a=$1
	_d=$(apt_dir "$1")
	_p=$2
	shift 2
	"$_p" -o Dir::State="$_d/state" -o Dir::State::status="$_d/status" -o Dir::Cache="$_d/cache" \
		-o Dir::Etc::sourcelist="$_d/sources.list" -o Dir::Etc::sourceparts="$_d/none" \
		-o APT::Architecture="$_a" -o APT::Architectures="$_a" -o APT::Architectures::="$_a" \
		-o APT::Sandbox::User= -o Acquire::Languages=none -o Debug::NoLocking=1 \
		-o APT::Update::Post-Invoke=  -o APT::Update::Post-Invoke-Success= "$@"
}

apt_lists() { # architecture: fetches the lists unless that was done within a day
	_d=$(apt_dir "$1")
	[ -n "$(find "$_d/fresh" -mmin -1440 2>/dev/null)" ] && return
	mkdir -p "$_d/state/lists/partial" "$_d/cache/archives/partial" "$_d/none"
	: >"$_d/status"
	# A key may stand in the source's own entry; else those that apt trusts are asked.
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)' \
		'Created-By: Packages' 'Origin: Debian' 2>/dev/null | sort -u |
		awk -F'|' '{
			key = $4 ~ /^\// ? "[signed-by=" $4 "] " : ""
			print "deb " key $1 " " $2 " " $3
		}' >"$_d/sources.list"
	[ -s "$_d/sources.list" ] || die "apt knows no lists of Debian: run apt-get update first"
	say "fetching lists of packages for $1"
	apt_private "$1" apt-get update -qq >&2 ||
		die "the lists of packages for $1 could not be fetched"
	touch "$_d/fresh"
}

# Prints what a package depends on, a name a line.
apt_depends() { # architecture, package
	apt_private "$1" apt-cache depends --no-recommends --no-suggests "$2" |
		sed -n 's/^ *|\{0,1\}Depends: *\([^<>: ]*\).*/\1/p'
}

# Prints the version that would be fetched.
apt_version() { # architecture, package
	apt_private "$1" apt-cache show --no-all-versions "$2" 2>/dev/null |
		sed -n 's/^Version: //p' | head -n 1
}

# Fetches a package and unpacks it into a folder.
apt_unpack() { # architecture, package, folder
	_tmp=$(mktemp -d "$VM_CACHE/fetch.XXXXXX")
	say "fetching $2 ($1)"
	(cd "$_tmp" && apt_private "$1" apt-get -qq download "$2" >&2) ||
		die "$2 could not be fetched; the cache $VM_CACHE/apt-$1 may be out of date: remove it"
	mkdir -p "$3"
	dpkg -x "$_tmp"/*.deb "$3" || die "$2 could not be unpacked into $3"
	rm -rf "$_tmp"
}
