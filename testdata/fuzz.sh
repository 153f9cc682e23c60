#!/bin/sh
# Runs each fuzz target for a while, those of the whole module or of the folders
# that are named: fuzz.sh 20s [DIR...]
set -eu
cd "$(dirname "$0")/.."
time=$1
shift
[ $# -gt 0 ] || set -- .
grep -rl --include='*_test.go' '^func Fuzz' "$@" | xargs -n1 dirname | sort -u | while read -r dir; do
	case $dir in ./* | /*) ;; *) dir=./$dir ;; esac
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go | while read -r target; do
		echo "$dir $target"
		# Each minute spent on making an interesting input shorter would be one
		# without new inputs.
		go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 20x </dev/null
	done
done
