#!/bin/bash
# Everything that test_switching.sh checks, with two workers that share the ports' queues.
export SWITCH_OPTIONS="--workers 0,1"
(($(nproc) >= 2)) || {
	echo "SKIP two workers need two cores"
	exit 77
}
exec "$(dirname "$0")/test_switching.sh"
