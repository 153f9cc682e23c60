#!/bin/sh
# Builds the binary that packages and images hold: build.sh VERSION FILE. Equal
# sources give equal bytes, whatever folder they are in.
set -eu
cd "$(dirname "$0")/.."
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=auto \
	-ldflags "-s -w -X github.com/seed47708276/sluice/cli.release=$1" -o "$2" .
