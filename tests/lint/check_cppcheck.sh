#!/bin/bash
# cppcheck over the product. What to do: mend it, or say in tests/lint/cppcheck.txt why it is right.
set -eu
cd "$(dirname "$0")/../.."
command -v cppcheck >/dev/null || { echo "SKIP: cppcheck is not installed" && exit 77; }

mapfile -t files < <(tests/lint/files.sh '*.c' | grep -v -E '^(tests|bench)/')
cache=${BUILD:-build}/cppcheck
mkdir -p "$cache"
cppcheck --quiet -j "$(nproc)" --cppcheck-build-dir="$cache" --error-exitcode=1 \
	--enable=warning,performance,portability --std=c11 --platform=unix64 \
	--max-configs=1 --inline-suppr --suppressions-list=tests/lint/cppcheck.txt \
	-D__x86_64__ -D__SSE4_2__ -I. \
	--include=tests/lint/cppcheck.h \
	--template='{file}:{line}: {message} [{id}]' "${files[@]}"
