#!/bin/bash
# Are the sources formatted as .clang-format says? What to do: clang-format -i FILE.
set -eu
cd "$(dirname "$0")/../.."
command -v clang-format >/dev/null || { echo "SKIP: clang-format is not installed" && exit 77; }

mapfile -t files < <(tests/lint/files.sh '*.c' '*.h')
clang-format --dry-run --ferror-limit=1 "${files[@]}" 2>&1 |
	sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: .*Wclang-format-violations.*/\1/p' |
	awk -F: '{ print $0 ": not formatted: clang-format -i " $1; bad = 1 } END { exit bad }'
