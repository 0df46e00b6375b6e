#!/bin/bash
# The project's own files whose names match any of the patterns: tests/lint/files.sh '*.c' '*.h'
# In a checkout, what git knows or would add; elsewhere everything outside of build/.
set -eu
cd "$(dirname "$0")/../.."

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	git ls-files -co --exclude-standard -- "$@" | while read -r file; do
		[[ ! -f $file ]] || echo "$file"
	done
else
	patterns=()
	for pattern; do
		patterns+=(-o -name "$pattern")
	done
	find . -path ./build -prune -o -type f \( "${patterns[@]:1}" \) -print | sed 's:^\./::'
fi | sort -u
