#!/bin/sh
# Builds dist/sluice_VERSION_amd64.deb: deb.sh [VERSION]. The same tree and
# SOURCE_DATE_EPOCH give the same bytes.
set -eu
cd "$(dirname "$0")/.."
for tool in dpkg-deb gzip md5sum; do
	command -v $tool >/dev/null || { echo "deb.sh: $tool is missing: it is in Debian's packages dpkg, gzip and coreutils" >&2; exit 1; }
done
version=${1:-$(deploy/version.sh)}
SOURCE_DATE_EPOCH=$(deploy/epoch.sh)
export SOURCE_DATE_EPOCH
# The man pages are dated by it, in the zone of the machine.
export TZ=UTC
out=${DIST:-dist}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022

put() { # mode, from, to
	install -D -m "$1" "$2" "$root/$3"
}

mkdir -p "$out" "$root/usr/bin"
deploy/build.sh "$version" "$root/usr/bin/sluice"
chmod 755 "$root/usr/bin/sluice"

put 644 deploy/debian/sluice.service lib/systemd/system/sluice.service
put 644 deploy/debian/sluice.default etc/default/sluice
# Only files in which every line is a comment: a second root wins over the
# platform's own files.
for f in sluice redis pns doveadm; do
	put 644 "etc/$f.properties" "etc/sluice/$f.properties"
done

"$root/usr/bin/sluice" man "$root/man"
for page in "$root"/man/*; do
	section=${page##*.}
	gzip -9n "$page"
	put 644 "$page.gz" "usr/share/man/man$section/$(basename "$page").gz"
done
rm -r "$root/man"
for shell in bash zsh fish; do
	"$root/usr/bin/sluice" completion $shell >"$root/$shell"
done
put 644 "$root/bash" usr/share/bash-completion/completions/sluice
put 644 "$root/zsh" usr/share/zsh/vendor-completions/_sluice
put 644 "$root/fish" usr/share/fish/vendor_completions.d/sluice.fish
rm "$root/bash" "$root/zsh" "$root/fish"

doc=usr/share/doc/sluice
put 644 deploy/debian/copyright $doc/copyright
put 644 deploy/debian/lintian-overrides usr/share/lintian/overrides/sluice
put 644 README.md $doc/README.md
for page in docs/*.md; do
	put 644 "$page" "$doc/docs/$(basename "$page")"
done
{
	echo "sluice ($version) stable; urgency=medium"
	echo
	echo "  * See CHANGELOG.md."
	echo
	echo " -- The Sluice authors <seed47708276@users.noreply.github.com>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$root/$doc/changelog.gz"
gzip -9nc CHANGELOG.md >"$root/$doc/CHANGELOG.md.gz"

chmod 755 "$root"
mkdir "$root/DEBIAN"
(cd "$root" && find etc -type f | LC_ALL=C sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	put 755 "deploy/debian/$script" "DEBIAN/$script"
done
(cd "$root" && find usr lib -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: sluice
Version: $version
Architecture: amd64
Maintainer: The Sluice authors <seed47708276@users.noreply.github.com>
Installed-Size: $(du -k -s --exclude=DEBIAN "$root" | cut -f1)
Depends: adduser, init-system-helpers (>= 1.54)
Recommends: ca-certificates
Section: net
Priority: optional
Homepage: https://github.com/seed47708276/sluice
Description: configuration per user, and push over Web Sockets
 Sluice reads the configuration tree of a mail and groupware platform, decides
 per user what is switched on, says why, and pushes new mail and calendar
 changes to the browsers of those users, over all members of a cluster.
END
chmod 644 "$root"/DEBIAN/conffiles "$root"/DEBIAN/md5sums "$root"/DEBIAN/control
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/sluice_${version}_amd64.deb"
