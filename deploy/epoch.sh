#!/bin/sh
# The time, in seconds, that packages and images carry: SOURCE_DATE_EPOCH, else
# that of the commit.
set -eu
cd "$(dirname "$0")/.."
echo "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
