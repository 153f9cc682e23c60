#!/bin/sh
# Installs what the tests need on Debian: packages that are missing, and the
# npm clients. `just setup` runs it.
set -eu
cd "$(dirname "$0")/.."

need=""
want() { # command, package
	command -v "$1" >/dev/null 2>&1 || need="$need $2"
}
want javac openjdk-17-jdk-headless
want vim vim
want setpriv util-linux
want flock util-linux
want node nodejs
if [ -n "$need" ]; then
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update -qq
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
fi

if [ -d testdata/clients ]; then
	npm ci --prefix testdata/clients --no-audit --no-fund --loglevel=error
fi
