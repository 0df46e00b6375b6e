#!/bin/bash
# Every script through shellcheck. What to do: each message names a page of its wiki.
set -eu
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || { echo "SKIP: shellcheck is not installed" && exit 77; }

mapfile -t files < <(tests/lint/files.sh '*.sh' .ci/run)
shellcheck -x -S style -f gcc "${files[@]}"
