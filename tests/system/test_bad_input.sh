#!/bin/bash
# Everything a person can mistype, and what nobody should send: a clear error, nothing changed, the
# daemon and its traffic unaffected.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start bad-input

bridge=br$$
a=$(space a) b=$(space b)
spaces=("$a" "$b")
must "vswitchd starts" start_switch
must "a bridge" vsctl add-br "$bridge"
must "port a" port_in_space "$bridge" "a$$" "$a" 10.0.0.1/24
must "port b" port_in_space "$bridge" "b$$" "$b" 10.0.0.2/24
must "traffic flows" within 10 pings "$a" 10.0.0.2
ip netns exec "$a" ping -i 0.02 -q 10.0.0.2 >"$dir/ping" &
ping_process=$!
children+=("$ping_process")
snapshot "$bridge" >"$dir/before"

# ---- Commands -----------------------------------------------------------------------------------

check "unknown command" refused "ad-br" ad-br x
check "missing arguments" refused "add-br" add-br
check "unknown option" refused "--no-such" --no-such list-br
check "unknown bridge" refused "brx" add-flow brx actions=drop
check "unknown port" refused "no-such" del-port "$bridge" no-such
check "duplicate bridge" refused "$bridge" add-br "$bridge"
check "duplicate port" refused "a$$" add-port "$bridge" "a$$" type=tap
check "duplicate port number" refused "1" add-port "$bridge" "x$$" type=tap ofport_request=1
check "port number out of range" refused "65280" add-port "$bridge" "x$$" type=tap ofport_request=65280
check "unknown type" refused "fantasy" add-port "$bridge" "x$$" type=fantasy
check "unknown option of a type" refused "colour" add-port "$bridge" "x$$" type=tap options:colour=red
check "unknown column" refused "colour" set Port "a$$" colour=red
check "unknown table" refused "Interfaces" list Interfaces
check "unknown interface of the host" refused "eth99" add-port "$bridge" eth99
check "a VLAN out of range" refused "4096" set Port "a$$" tag=4096
check "a socket path in no directory" refused "/no/such" add-port "$bridge" "x$$" type=vhost-user path=/no/such/dir/x.sock
: >"$dir/file"
check "a socket path that is a file" refused "$dir/file" add-port "$bridge" "x$$" type=vhost-user "path=$dir/file"
check "no path" refused "path" add-port "$bridge" "x$$" type=vhost-user
check "devargs that lead nowhere" refused "net_nothing0" add-port "$bridge" "x$$" type=dpdk options:dpdk-devargs=net_nothing0
check "a transaction whose last part fails" refused "fantasy" add-br "by$$" -- add-port "by$$" "x$$" type=tap -- add-port "by$$" "y$$" type=fantasy
check "... leaves no interface behind" fails ip link show "x$$"
check "a bridge name too long" refused "longer" add-br "$(printf 'b%.0s' {1..100})"

# ---- Flows --------------------------------------------------------------------------------------

check "unknown field" refused "nw_sorc" add-flow "$bridge" ip,nw_sorc=1.2.3.4,actions=drop
check "unknown action" refused "outptu" add-flow "$bridge" actions=outptu:1
check "missing actions" refused "actions" add-flow "$bridge" in_port=1
check "missing prerequisite" refused "tcp" add-flow "$bridge" tp_dst=80,actions=drop
check "wrong address" refused "10.0.0.256" add-flow "$bridge" ip,nw_dst=10.0.0.256,actions=drop
check "field that takes no mask" refused "mask" add-flow "$bridge" ip,nw_ttl=1/1,actions=drop
check "value out of range" refused "65536" add-flow "$bridge" tcp,tp_dst=65536,actions=drop
check "table out of range" refused "255" add-flow "$bridge" table=255,actions=drop
check "priority out of range" refused "65536" add-flow "$bridge" priority=65536,actions=drop
check "unknown port in a match" refused "vm9" add-flow "$bridge" in_port=vm9,actions=drop
check "unknown port in actions" refused "vm9" add-flow "$bridge" actions=output:vm9
check "goto_table backwards" refused "goto_table" add-flow "$bridge" table=5,actions=goto_table:5
check "bits beyond a register" refused "32" add-flow "$bridge" "actions=load:1->NXM_NX_REG0[0..32]"
check "unbalanced parentheses" refused "parenthesis" add-flow "$bridge" "actions=resubmit(1,2"

{ for i in $(seq 1 899); do echo "table=7,priority=$i,actions=drop"; done
	echo "table=7,priority=900,ip,nw_dts=1.1.1.1,actions=drop"
	for i in $(seq 901 1000); do echo "table=7,priority=$i,actions=drop"; done; } >"$dir/flows"
check "a file names file, line and mistake" refused "$dir/flows:900" add-flows "$bridge" "$dir/flows"
check "... and is not half applied" equal "$(vsctl dump-flows "$bridge" table=7 | grep -c actions=)" 0
check "an unreadable file" refused "/no/such/file" add-flows "$bridge" /no/such/file
check "a directory" refused "$dir" add-flows "$bridge" "$dir"

check "fragments" vsctl set-frags "$bridge" "$(vsctl get-frags "$bridge")"
check "... in another way" refused "not drop" set-frags "$bridge" drop
check "... in no way" refused "no way to handle" set-frags "$bridge" norm
check "queues" equal "$(vsctl queue-stats "$bridge") $(vsctl queue-get-config "$bridge" "a$$" ANY)" "0 queues 0 queues"
check "... for programs" equal "$(vsctl --json queue-stats "$bridge" ALL 5 | jq length)" 0
check "... of no port" refused "no-such" queue-stats "$bridge" no-such
check "... that is not there" refused "no queue 5" queue-stats "$bridge" "a$$" 5
check "... that is no number" refused "is no queue" queue-get-config "$bridge" "a$$" x

# ---- Groups, meters, learn, conjunction, bundles ------------------------------------------------

check "a group that is not there" refused "no group 5" add-flow "$bridge" actions=group:5
check "... in a bucket" refused "5" add-group "$bridge" group_id=1,type=all,bucket=group:5
check "... to change" refused "5" mod-group "$bridge" group_id=5,type=all
check "... in a clone" refused "no group 5" add-flow "$bridge" "actions=clone(group:5)"
check "a meter that is not there" refused "no meter 5" add-flow "$bridge" actions=meter:5
check "... to change" refused "no meter 5" mod-meter "$bridge" meter=5,kbps,bands=type=drop,rate=1
check "a meter without a unit" refused "kbps or pktps" add-meter "$bridge" meter=5,bands=type=drop,rate=1
check "a group that leads to itself" refused "1 -> 2 -> 1" add-groups "$bridge" - <<-END
	group_id=1,type=all,bucket=group:2
	group_id=2,type=all,bucket=group:1
END
check "learn writes a field that cannot be written" refused "OXM_OF_ETH_TYPE[] cannot be written" add-flow "$bridge" \
	"actions=learn(table=1,load:1->OXM_OF_ETH_TYPE[])"
check "... of the headers" refused "eth_type" add-flow "$bridge" "actions=learn(table=1,load:1->eth_type)"
check "... bits it does not have" refused "48" add-flow "$bridge" "actions=learn(table=1,NXM_OF_ETH_SRC[0..48])"
check "a conjunction of one dimension" refused "column" add-flow "$bridge" "ip,actions=conjunction(1,1/1)"
check "... beyond its dimensions" refused "3" add-flow "$bridge" "ip,actions=conjunction(1,3/2)"
check "... of too many" refused "65" add-flow "$bridge" "ip,actions=conjunction(1,1/65)"
check "... beside other actions" refused "conjunction" add-flow "$bridge" "ip,actions=conjunction(1,1/2),output:1"
for i in $(seq 1 1000); do
	((i != 900)) && echo "flow table=7,priority=$i,actions=drop" || echo "flow table=7,actions=group:900"
done >"$dir/bundle"
check "a bundle names its 900th change" refused "$dir/bundle:900: bridge '$bridge' has no group 900" \
	bundle "$bridge" "$dir/bundle"
check "... and does nothing of it" equal "$(vsctl dump-flows "$bridge" table=7 | grep -c actions=)" 0
yes "table=7,tcp,nw_src=10.0.0.1,tp_src=1,actions=drop" | head -999999 >"$dir/million"
echo "table=7,tcp,tp_scr=1,actions=drop" >>"$dir/million"
started=$(date +%s%N)
check "the last of a million lines" refused "$dir/million:1000000:13" add-flows "$bridge" "$dir/million"
note "a million lines of which the last is wrong: $((($(date +%s%N) - started) / 1000000)) ms"
check "... and nothing is done" equal "$(vsctl dump-flows "$bridge" table=7 | grep -c actions=)" 0
rm "$dir/million"

# ---- The socket ---------------------------------------------------------------------------------

socket=$dir/run/vswitchd.sock
send() { # what comes on standard input, to the control socket
	timeout 10 socat -t 2 - "UNIX-CONNECT:$socket" >"$dir/reply" 2>/dev/null || true
	vsctl list-br >/dev/null
}
check "garbage" send < <(head -c 100000 /dev/urandom)
check "an empty line" send <<<""
check "half a request" send < <(printf '{"id":1,"commands":[{"name":"list-br"')
check "JSON of the wrong shape" send <<<'{"id":1,"commands":{"name":["list-br"],"args":17}}'
check "... is answered with an error" grep -q error "$dir/reply"
check "a number for a name" send <<<'{"id":"x","commands":[{"name":5,"args":[1,2,3]}]}'
check "an unknown command" send <<<'{"id":1,"commands":[{"name":"no-such","args":[]}]}'
check "deep nesting" send < <(printf '[%.0s' {1..100000}; echo)
check "NUL bytes" send < <(printf '{"id":1,\0"commands":[]}\n')
check "a 100 MB command" send < <(head -c 100000000 /dev/zero | tr '\0' 'a')
silent() { # connections that say nothing hinder nobody
	local i pids=()
	for i in $(seq 1 80); do
		socat -u "UNIX-CONNECT:$socket" STDOUT >/dev/null 2>&1 &
		pids+=($!)
	done
	vsctl --timeout 10 list-br
	local status=$?
	kill "${pids[@]}" 2>/dev/null
	return "$status"
}
check "80 silent connections" silent
check "a very long flow" refused "" add-flow "$bridge" "actions=$(printf 'output:1,%.0s' {1..5000})drop"

# ---- Nothing happened ---------------------------------------------------------------------------

unchanged() {
	snapshot "$bridge" >"$dir/after" && diff -u "$dir/before" "$dir/after"
}
check "nothing has changed" unchanged
kill -INT "$ping_process"
wait "$ping_process" 2>/dev/null
check "traffic never stopped" grep ' 0% packet loss' "$dir/ping"
check "packets are conserved" within 5 is_conserved
check "it stops cleanly" stop_switch
