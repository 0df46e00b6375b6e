#!/bin/bash
# Things that a look at the text alone can find. Each message says what to write instead.
set -eu
cd "$(dirname "$0")/../.."
bad=0

# complain MESSAGE: prints each line "FILE:LINE:TEXT" of the input with the message.
complain() {
	local line

	while read -r line; do
		echo "$(cut -d: -f1,2 <<<"$line"): $1"
		bad=1
	done
}

mapfile -t all < <(tests/lint/files.sh '*.c' '*.h' '*.def' '*.md' '*.sh' '*.awk' '*.py' '*.8' \
	Makefile .ci/run)
mapfile -t code < <(tests/lint/files.sh '*.c' '*.h' | grep -v '^tests/lint/')
mapfile -t product < <(printf '%s\n' "${code[@]}" | grep -v -E '^(tests|bench)/')

complain "white space at the end of the line: remove it" \
	< <(grep -nE '[[:blank:]]$' "${all[@]}" /dev/null || true)
complain "unfinished work: finish it, or open an issue" \
	< <(grep -nwE 'TO''DO|FIX''ME|XX''X' "${all[@]}" /dev/null || true)
# Hashes without a key, or linear ones, let a peer choose keys that collide (common/hash.h). The
# SCTP checksum is CRC32c by its definition.
complain "a hash that peers can foresee: use common/hash.h" \
	< <(grep -nE 'rte_(jhash|hash_crc)|rte_fbk_hash' "${product[@]}" /dev/null |
		grep -v '^datapath/write_back\.c:' || true)
complain "a packet, guest or user must not be able to end the process: return an error" \
	< <(grep -nwE 'abort|assert|rte_panic|RTE_ASSERT|RTE_VERIFY|rte_exit' "${product[@]}" /dev/null |
		grep -vE '^[^:]+:[0-9]+:.*(//|_Static_assert|static_assert)' || true)
complain "a function that does not know the size of its buffer: use snprintf or memcpy" \
	< <(grep -nE '\<(strcat|sprintf|gets|vsprintf)\(' "${code[@]}" /dev/null || true)

for file in "${all[@]}"; do
	[[ ! -s $file || -z $(tail -c 1 "$file") ]] ||
		complain "no newline at the end of the file: add one" <<<"$file:1:"
done
exit $bad
