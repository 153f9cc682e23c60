#!/bin/sh
# The version that this tree builds: the newest of CHANGELOG.md.
set -eu
sed -n 's/^## \([0-9][0-9A-Za-z.~+-]*\).*/\1/p' "$(dirname "$0")/../CHANGELOG.md" | head -n 1
