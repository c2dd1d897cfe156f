# shellcheck shell=bash
#
# What up, test and bench share: who builds, who is root, what the machine lacks.
#
# Sourced from the top of the checkout. Sets PATH, $cargo and $builder; defines say, die, as_root, as_builder,
# require and built. The program is built by the user who called sudo, so that target/ stays theirs, and run as root.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# as_root COMMAND...
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo -- "$@"
	fi
}

# as_builder COMMAND...: with the builder's home and cargo.
as_builder() {
	local environment=(env "HOME=$home" "PATH=$home/.cargo/bin:$PATH")
	if [[ $builder == "$(id -un)" ]]; then
		"${environment[@]}" "$@"
	else
		runuser -u "$builder" -- "${environment[@]}" "USER=$builder" "LOGNAME=$builder" "$@"
	fi
}

# install PACKAGE...
install() {
	command -v apt-get >/dev/null || die "this is no Debian: install what is in its packages $*"
	as_root apt-get -qq update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# require COMMAND PACKAGE...: installs the packages if there is no such command.
require() {
	local command=$1
	shift
	command -v "$command" >/dev/null && return
	say "\`$command\` is missing: installing Debian's $*"
	install "$@"
}

# unpack PACKAGE: makes sure of the program of the same name, or of what else is in the package, without installing it:
# to install a service is to start it.
unpack() {
	local tools=$cache/tools/$1
	! command -v "$1" >/dev/null || return 0
	if [[ ! -d $tools ]]; then
		say "fetching Debian's $1"
		as_builder rm -rf -- "$tools.new"
		as_builder mkdir -p "$tools.new"
		as_builder env -C "$tools.new" apt-get -qq download "$1" 2>/dev/null || {
			as_root apt-get -qq update
			as_builder env -C "$tools.new" apt-get -qq download "$1"
		}
		as_builder dpkg-deb -x "$tools.new/$1"_*.deb "$tools.new"
		as_builder mv -T "$tools.new" "$tools"
	fi
	PATH=$PATH:$tools/usr/bin
}

# built CARGO-ARGUMENTS...: builds, and prints the paths of the tests or benchmarks that were built.
built() {
	as_builder cargo "$@" --locked --no-run --message-format=json-render-diagnostics |
		sed -n 's/.*"profile":{[^}]*"test":true.*"executable":"\([^"]*\)".*/\1/p'
}

# ---------------------------------------------------------------- who builds

((EUID == 0)) || command -v sudo >/dev/null || die "this needs root, and there is no sudo: run it as root"

builder=$(id -un)
if ((EUID == 0)) && [[ -n ${SUDO_USER:-} && $SUDO_USER != root ]] && runuser -u "$SUDO_USER" -- test -w .; then
	builder=$SUDO_USER
fi
home=$(getent passwd "$builder" | cut -d: -f6)
cache=${XDG_CACHE_HOME:-$home/.cache}/bootstrap

as_builder sh -c 'command -v cargo' >/dev/null ||
	die "$builder has no cargo: https://rustup.rs installs it, in $home/.cargo/bin"
require cc gcc libc6-dev
