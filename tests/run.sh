#!/bin/bash
# Run test suites and add up: tests/run.sh [lint] [unit] [system] [vm]; no argument means all.
#
# A suite is a set of programs (lint: checks of the sources, unit: build/tests/unit/test_*, system
# and vm: test_*.sh in their folders). A program tells its results in one of two ways: cmocka's
# summary, or a last line "N passed, N failed". One that tells neither counts as one test. Exit code
# 77 means that it could not run here and was skipped. Everything that a program prints is kept in
# build/test-logs; what failed is printed in full.
#
# TEST_FILTER=REGEX runs only programs whose name matches; TEST_TIMEOUT=SECONDS is for slow machines.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

build=${BUILD:-build}
logs=$build/test-logs
passed=0 failed=0 skipped=0
export LC_ALL=C

programs() { # SUITE
	case $1 in
	lint) printf '%s\n' tests/lint/check_*.sh ;;
	unit) printf '%s\n' "$build"/tests/unit/test_* ;;
	system | vm) printf '%s\n' tests/"$1"/test_*.sh ;;
	esac
}

time_limit() { # SUITE
	case $1 in
	vm) echo "${TEST_TIMEOUT:-600}" ;;
	*) echo "${TEST_TIMEOUT:-300}" ;;
	esac
}

# The number in front of a word of cmocka's summary, as in "[  PASSED  ] 3 test(s).".
cmocka_count() { # WORD FILE
	sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

# Sets n_passed, n_failed, n_skipped to what a program said about itself.
read_results() { # FILE
	local summary

	summary=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$1" | tail -n 1)
	if [[ $summary =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+))? ]]; then
		n_passed=${BASH_REMATCH[1]} n_failed=${BASH_REMATCH[2]} n_skipped=${BASH_REMATCH[4]:-0}
	else
		n_passed=$(cmocka_count PASSED "$1")
		n_failed=$(cmocka_count FAILED "$1")
		n_skipped=$(cmocka_count SKIPPED "$1")
	fi
}

tell() { # RESULT SECONDS NAME REMARK
	printf '%-6s %7s s  %s%s\n' "$1" "$2" "$3" "${4:+  ($4)}"
}

run_program() { # SUITE PROGRAM
	local name log status start seconds limit result=ok remark
	local n_passed n_failed n_skipped

	name=$1/$(basename "$2" .sh)
	log=$logs/${name//\//-}.log
	limit=$(time_limit "$1")
	start=${EPOCHREALTIME/./}
	timeout -k 20 "$limit" "$2" >"$log" 2>&1 </dev/null
	status=$?
	seconds=$(awk -v us=$((${EPOCHREALTIME/./} - start)) 'BEGIN { printf "%.1f", us / 1e6 }')
	read_results "$log"
	if ((status == 77)); then
		result=SKIP n_passed=0 n_failed=0 n_skipped=$((n_skipped ? n_skipped : 1))
	elif ((status != 0 || n_failed)); then
		result=FAILED n_failed=$((n_failed ? n_failed : 1))
	elif ((n_passed + n_skipped == 0)); then
		n_passed=1
	elif ((n_passed == 0)); then
		result=SKIP
	fi
	passed=$((passed + n_passed)) failed=$((failed + n_failed)) skipped=$((skipped + n_skipped))

	case $result in
	SKIP) remark=$(grep -m 1 -i skip "$log") ;;
	FAILED) remark="exit code $status, $n_passed passed, $n_failed failed" ;;
	*) remark="$n_passed passed${n_skipped:+$( ((n_skipped)) && echo ", $n_skipped skipped")}" ;;
	esac
	tell "$result" "$seconds" "$name" "$remark"
	[[ $result == FAILED ]] || return
	sed 's/^/    /' "$log"
	((status == 124 || status == 137)) &&
		echo "    It was ended after $limit s. Run it alone ($2) to see where it stands;" \
			"on a slow machine set TEST_TIMEOUT to more seconds."
	echo "    Repeat: TEST_FILTER='$(basename "$2" .sh)\$' tests/run.sh $1"
}

run_suite() { # SUITE
	local program n=0

	while read -r program; do
		[[ -x $program && ! -d $program ]] || continue
		[[ $(basename "$program" .sh) =~ ${TEST_FILTER:-.} ]] || continue
		n=$((n + 1))
		run_program "$1" "$program"
	done < <(programs "$1")
	((n || ${#TEST_FILTER})) && return
	tell FAILED 0.0 "$1" "nothing to run: build the tests with 'make unit-programs' first"
	failed=$((failed + 1))
}

(($#)) || set -- lint unit system vm
for suite; do
	case $suite in
	lint | unit | system | vm) ;;
	*)
		echo "usage: $0 [lint] [unit] [system] [vm]" >&2
		exit 2
		;;
	esac
done
TEST_FILTER=${TEST_FILTER:-}
mkdir -p "$logs" || exit 1
trap 'echo "interrupted"; exit 130' INT TERM

for suite; do
	run_suite "$suite"
done
((skipped)) && echo "Skipped tests did not run: the lines above say what they need."
((failed)) && echo "Logs: $logs"
echo "$passed passed, $failed failed$( ((skipped)) && echo ", $skipped skipped")"
((failed == 0))
