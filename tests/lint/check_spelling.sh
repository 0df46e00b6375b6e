#!/bin/bash
# codespell over every text. What to do: mend the word, or add it to tests/lint/words.txt.
set -eu
cd "$(dirname "$0")/../.."
command -v codespell >/dev/null || { echo "SKIP: codespell is not installed" && exit 77; }

mapfile -t files < <(tests/lint/files.sh '*.c' '*.h' '*.def' '*.md' '*.sh' '*.awk' '*.py' '*.8' Makefile)
codespell --quiet-level=3 --ignore-words=tests/lint/words.txt "${files[@]}"
