#!/bin/sh
# Checks and builds a release into dist/: release.sh VERSION. The tree must be
# clean, CHANGELOG.md must have the version as its newest.
set -eu
cd "$(dirname "$0")/.."
[ $# = 1 ] || { echo "usage: deploy/release.sh VERSION, such as 0.9.0" >&2; exit 2; }
version=$1
[ -z "$(git status --porcelain)" ] || { echo "release.sh: the checkout has changes: commit them first" >&2; git status --short >&2; exit 1; }
newest=$(deploy/version.sh)
[ "$newest" = "$version" ] || { echo "release.sh: the newest version of CHANGELOG.md is $newest, not $version: write its section first" >&2; exit 1; }
rm -rf dist
deploy/deb.sh "$version"
deploy/image.sh "$version"
(cd dist/image && tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(../../deploy/epoch.sh)" -cf "../sluice_${version}_oci.tar" .)
rm -r dist/image
deploy/build.sh "$version" "dist/sluice_${version}_linux_amd64"
(cd dist && sha256sum -- * >SHA256SUMS)
cat dist/SHA256SUMS
echo "release.sh: add the line \"$version $(git rev-parse HEAD)\" to RELEASES, commit, and tag v$version"
