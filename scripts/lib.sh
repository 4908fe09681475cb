# shellcheck shell=bash
# What the scripts here have in common; they read it with "source".

# as_root is what stands before a command that only root may run.
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

# have WHAT: whether a program, also one of the administrator's, or a file with its whole path is there.
have() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
	esac
}

# apt_install PURPOSE [PACKAGE...]: installs the packages; does nothing without any. None of them
# starts a service, since the tests run instances of their own. In a subshell, for its trap.
apt_install() (
	purpose=$1 policy=/usr/sbin/policy-rc.d
	shift
	[ $# -gt 0 ] || exit 0
	echo "installing what $purpose needs: $*"
	if [ ! -e "$policy" ]; then
		trap '"${as_root[@]}" rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
		"${as_root[@]}" chmod 755 "$policy"
	fi
	"${as_root[@]}" apt-get update -q
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
)

# npm_install FOLDER...: installs what each folder's package-lock.json names, where it has changed.
npm_install() {
	local folder
	for folder; do
		[ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ] ||
			(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund)
	done
}
