#!/bin/bash
# Do the folders include only to the left? What to do: move the code, or turn the call round.
set -eu
cd "$(dirname "$0")/../.."
mapfile -t files < <(tests/lint/files.sh '*.c' '*.h' '*.def')
awk -f tests/lint/layers.awk "${files[@]}"
