#!/bin/sh
# Installs what the tests need on Debian: packages that are missing, and the
# npm clients. `just setup` runs it.
set -eu
cd "$(dirname "$0")/.."

need=""
PATH=$PATH:/usr/sbin:/sbin # where Debian puts daemons, also for users without them
want() { # command, package
	command -v "$1" >/dev/null 2>&1 || need="$need $2"
}
want javac openjdk-17-jdk-headless
[ -e /usr/share/java/snakeyaml-1.33.jar ] || need="$need libyaml-snake-java"
want vim vim
want setpriv util-linux
want flock util-linux
want node nodejs
[ -e /usr/lib/python3/dist-packages/socketio ] || need="$need python3-socketio"
[ -e /usr/lib/python3/dist-packages/websocket ] || need="$need python3-websocket"
want redis-server redis-server
want mariadb mariadb-client
want mariadbd mariadb-server
want rsync rsync
[ -e /usr/lib/galera/libgalera_smm.so ] || need="$need galera-4"
want nginx nginx
want apache2 apache2
want haproxy haproxy
want varnishd varnish
want chromium chromium
want dovecot dovecot-core
[ -e /usr/lib/dovecot/imap ] || need="$need dovecot-imapd"
[ -e /usr/lib/dovecot/lmtp ] || need="$need dovecot-lmtpd"
[ -e /usr/lib/dovecot/modules/lib90_sieve_plugin.so ] || need="$need dovecot-sieve"
want strace strace
want mkfs.ext4 e2fsprogs
want xfs_io xfsprogs
want mount mount
want nsenter util-linux
want ip iproute2
want ss iproute2
want promtool prometheus
want lintian lintian
want umoci umoci
want skopeo skopeo
want bwrap bubblewrap
want curl curl
want debootstrap debootstrap
want systemd-analyze systemd
if [ -n "$need" ]; then
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	# The tests start what they need: no package may start a daemon. Debian asks
	# this file; one that is there already is the machine's own answer.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap '$sudo rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
	fi
	$sudo apt-get update -qq
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
fi

if [ -d testdata/clients ]; then
	npm ci --prefix testdata/clients --no-audit --no-fund --loglevel=error
fi
if [ -d testdata/contract ]; then
	npm ci --prefix testdata/contract --no-audit --no-fund --loglevel=error --ignore-scripts
fi
