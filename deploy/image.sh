#!/bin/sh
# Builds dist/image, an OCI image layout with one image named VERSION, without a
# daemon: image.sh [VERSION]. The same tree and SOURCE_DATE_EPOCH give the same
# bytes. `skopeo copy oci:dist/image:VERSION docker://...` pushes it.
set -eu
cd "$(dirname "$0")/.."
command -v umoci >/dev/null || { echo "image.sh: umoci is missing: apt-get install umoci" >&2; exit 1; }
version=${1:-$(deploy/version.sh)}
SOURCE_DATE_EPOCH=$(deploy/epoch.sh)
export SOURCE_DATE_EPOCH
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
out=${DIST:-dist}/image
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

root=$work/root
mkdir -p "$root/usr/bin" "$root/usr/share/sluice/etc" "$root/etc/sluice" "$root/var/lib/sluice" "$root/run/sluice" "$root/tmp" "$root/proc" "$root/dev" "$root/sys"
deploy/build.sh "$version" "$root/usr/bin/sluice"
echo 'sluice:x:65532:65532:Sluice:/var/lib/sluice:/sbin/nologin' >"$root/etc/passwd"
echo 'sluice:x:65532:' >"$root/etc/group"
for f in sluice redis; do
	cp "etc/$f.properties" "$root/etc/sluice/"
done
# In a container nobody reaches a loopback address. Trees that are mounted on
# /opt/open-xchange/etc and /etc/sluice say otherwise where they want.
printf 'sluice.public.host=0.0.0.0\nsluice.admin.host=0.0.0.0\n' >"$root/usr/share/sluice/etc/image.properties"
# The authorities that Redis, the database and a login provider are checked by.
certs=/etc/ssl/certs/ca-certificates.crt
[ ! -e $certs ] || install -D -m 644 $certs "$root$certs"
chmod 1777 "$root/tmp"
chown -R 65532:65532 "$root/var/lib/sluice" "$root/run/sluice"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

rm -rf "$out"
mkdir -p "$(dirname "$out")"
umoci init --layout "$out"
image=$out:$version
umoci new --image "$image"
for top in dev etc proc run sys tmp usr var; do
	umoci insert --history.created "$created" --history.author Sluice --history.created_by "files of Sluice" --image "$image" "$root/$top" "/$top"
done
umoci config --no-history --created "$created" --author "The Sluice authors" --os linux --architecture amd64 \
	--config.user 65532:65532 --config.workingdir /var/lib/sluice \
	--config.env PATH=/usr/bin --config.env STATE_DIRECTORY=/var/lib/sluice \
	--config.entrypoint /usr/bin/sluice --config.cmd serve \
	--config.exposedports 8011/tcp --config.exposedports 8012/tcp --config.volume /var/lib/sluice \
	--config.stopsignal SIGTERM \
	--config.label "org.opencontainers.image.title=Sluice" \
	--config.label "org.opencontainers.image.version=$version" \
	--config.label "org.opencontainers.image.created=$created" \
	--config.label "org.opencontainers.image.revision=$(git rev-parse HEAD)" \
	--config.label "org.opencontainers.image.source=https://github.com/seed47708276/sluice" \
	--config.label "org.opencontainers.image.licenses=Apache-2.0" \
	--image "$image"
umoci gc --layout "$out"
echo "image.sh: $out holds the image $version"
