#!/bin/bash
# Mirrors, seen by tcpdump: what arrives at the mirror's port is what passed, large packets included.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start mirrors
for program in tcpdump iperf3; do
	command -v "$program" >/dev/null || skip "$program is missing (scripts/install-deps.sh test)"
done

a=$(space a) b=$(space b) m=$(space m)
spaces=("$a" "$b" "$m")
bridge=br$$ pa=a$$ pb=b$$ pm=m$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "a port for copies is attached" port_in_space "$bridge" "$pm" "$m" 10.0.0.9/24
ip netns exec "$m" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
check "hosts reach each other" within 10 pings "$a" 10.0.0.2

# ---- Mistakes -----------------------------------------------------------------------------------

in_force() {
	equal "$(vsctl get Bridge "$bridge" mirrors)" "[]"
}
add_mirror() { # COLUMN=VALUE...
	vsctl -- --id=@a get Port "$pa" -- --id=@b get Port "$pb" -- --id=@m get Port "$pm" \
		-- --id=@new create Mirror name=m0 "$@" -- set Bridge "$bridge" mirrors=@new
}
add_refused() { # TEXT COLUMN=VALUE...
	local text=$1
	shift
	refused "$text" -- --id=@a get Port "$pa" -- --id=@m get Port "$pm" \
		-- --id=@new create Mirror name=m0 "$@" -- set Bridge "$bridge" mirrors=@new
}
check "an output that is a source is refused" add_refused \
	"port '$pm' is both output_port and in select_src_port" \
	select_src_port=@a,@m output_port=@m
check "... as is one that is a destination" add_refused \
	"port '$pm' is both output_port and in select_dst_port" select_dst_port=@m output_port=@m
check "a mirror to nowhere is refused" add_refused "set output_port or output_vlan" select_all=true
check "... as is one to two places" add_refused "both output_port and output_vlan" \
	select_all=true output_port=@m output_vlan=7
check "a wrong filter is refused" add_refused "mirror 'm0' of bridge '$bridge': filter 'tcq'" \
	select_all=true output_port=@m filter=tcq
check "... as is one of what packets do not have" add_refused "only fields of packets" \
	select_all=true output_port=@m filter=table=3
check "VLAN 4095 is refused" add_refused "4095" select_all=true output_vlan=4095
check "a snaplen of 13 is refused" add_refused "13" select_all=true output_port=@m snaplen=13
must "another bridge" vsctl add-br "bq$$"
check "a port of another bridge is refused" refused "port 'bq$$' is not on bridge '$bridge'" \
	-- --id=@q get Port "bq$$" -- --id=@new create Mirror name=m0 select_all=true \
	output_port=@q -- set Bridge "$bridge" mirrors=@new
check "nothing of it stays" in_force
check "... and all goes on" within 5 pings "$a" 10.0.0.2
check "the port is not reserved" within 5 pings "$a" 10.0.0.9

# ---- SPAN ---------------------------------------------------------------------------------------

# Each captures into DIR/NAME.pcap until it is told to stop. Frames as they were, in order, to text.
captures=()
capture() { # NAME NAMESPACE INTERFACE DIRECTION
	rm -f "$dir/$1.err"
	ip netns exec "$2" tcpdump -Z root -U -i "$3" -Q "$4" -s 0 -B 16384 -w "$dir/$1.pcap" "icmp or tcp" \
		2>"$dir/$1.err" &
	captures+=($!)
	children+=($!)
	within 10 grep -q 'listening on' "$dir/$1.err"
}
end_captures() {
	sleep 1.5 # tcpdump looks at a block of its ring when it is full or a second old
	kill -INT "${captures[@]}" && wait "${captures[@]}" 2>/dev/null
	captures=()
}
frames() { # NAME [FILTER]
	tcpdump -nn -t -xx -r "$dir/$1.pcap" ${2:+"$2"} 2>/dev/null | grep -P "^\t"
}
same_frames() { # NAME NAME LEAST
	frames "$1" >"$dir/frames-1" && frames "$2" >"$dir/frames-2"
	at_least "$(tcpdump -r "$dir/$1.pcap" 2>/dev/null | wc -l)" "$3" && cmp "$dir/frames-1" "$dir/frames-2"
}

must "a mirror of what a sends" add_mirror select_src_port=@a output_port=@m
check "tcpdump starts" capture from-a "$a" "$pa" out
check "... for copies too" capture copies "$m" "$pm" in
check "packets pass" pings "$a" 10.0.0.2 50
end_captures
check "the mirror got what a sent, to the byte" same_frames from-a copies 50
check "... and counted it" at_least "$(vsctl get Mirror m0 statistics:tx_packets)" 50
check "the port gets nothing else" ping_blocked "$a" 10.0.0.9
check "... and gives nothing" ping_blocked "$m" 10.0.0.1
check "... which is counted" at_least "$(drops_for rx-mirror-port)" 1
check "packets are conserved" within 5 is_conserved

must "a mirror of what is sent to b" add_mirror select_dst_port=@b output_port=@m
must "packets are changed on their way" vsctl add-flow "$bridge" \
	"priority=9,ip,in_port=$pa,actions=mod_nw_tos:32,normal"
capture to-b "$b" "$pb" in
capture copies "$m" "$pm" in
check "packets pass" pings "$a" 10.0.0.2 50
end_captures
check "the mirror got what b received, to the byte" same_frames to-b copies 50

# Large packets: no frame of the connection is missing at the mirror, whatever it was cut into.
tcp_bytes() { # NAME: of the stream from a, as far as it was received in order
	tcpdump -nn -r "$dir/$1.pcap" "src 10.0.0.1 and tcp and greater 100" 2>/dev/null |
		sed -n 's/.* length \([0-9]*\)$/\1/p; s/.* length \([0-9]*\):.*/\1/p' |
		awk '{ sum += $1 } END { print sum + 0 }'
}
ip netns exec "$b" iperf3 -s -D --pidfile "$dir/iperf.pid" >/dev/null 2>&1
within 5 test -s "$dir/iperf.pid" && children+=("$(tr -d '\0' <"$dir/iperf.pid")")
capture to-b "$b" "$pb" in
capture copies "$m" "$pm" in
check "TCP passes" ip netns exec "$a" iperf3 -c 10.0.0.2 -n 4M -b 200M
end_captures
check "the mirror got all of it" equal "$(tcp_bytes copies)" "$(tcp_bytes to-b)"
check "... which is what was sent" at_least "$(tcp_bytes copies)" 4194304
note "longest captured frame: $(tcpdump -nn -e -r "$dir/copies.pcap" 2>/dev/null |
	sed -n 's/.* length \([0-9]*\): 10.*/\1/p' | sort -n | tail -n 1)"
check "packets are conserved" within 5 is_conserved

must "copies of 60 bytes" vsctl set Mirror m0 snaplen=60
capture copies "$m" "$pm" in
check "packets pass" pings "$a" 10.0.0.2 20
end_captures
check "all are cut" equal "$(tcpdump -nn -e -r "$dir/copies.pcap" 2>/dev/null | grep -c 'length 60:')" 20

must "only what a filter says" vsctl clear Mirror m0 snaplen \
	-- set Mirror m0 "filter=icmp,icmp_type=8" select_all=true
capture copies "$m" "$pm" in
check "packets pass" pings "$a" 10.0.0.2 20
end_captures
check "requests are copied once, answers not" equal \
	"$(tcpdump -nn -r "$dir/copies.pcap" 2>/dev/null | sed 's/.*echo \([a-z]*\).*/\1/' | uniq -c | xargs)" \
	"20 request"

# ---- RSPAN, restarts, ends ----------------------------------------------------------------------

must "copies into a VLAN" vsctl clear Mirror m0 output_port filter -- set Mirror m0 output_vlan=100 \
	-- set Port "$pm" tag=100
capture copies "$m" "$pm" in
check "packets pass" pings "$a" 10.0.0.2 10
end_captures
check "an access port of the VLAN has them" at_least \
	"$(tcpdump -nn -r "$dir/copies.pcap" 2>/dev/null | grep -c 'echo request')" 10
check "packets are conserved" within 5 is_conserved
must "copies to the port again" vsctl clear Port "$pm" tag -- clear Mirror m0 output_vlan \
	-- --id=@m get Port "$pm" -- set Mirror m0 output_port=@m
check "a port that copies go to can be deleted" vsctl del-port "$pm"
check "... and packets pass" within 5 pings "$a" 10.0.0.2
check "the mirror is in the list" equal "$(vsctl get Mirror m0 name)" m0
check "a mirror ends" vsctl clear Bridge "$bridge" mirrors
check "... and its row is gone" equal "$(vsctl --json list Mirror | jq '.rows | length')" 0
check "packets pass" within 5 pings "$a" 10.0.0.2
check "packets are conserved" within 5 is_conserved

must "a mirror on the other bridge" vsctl -- --id=@new create Mirror name=m1 select_all=true \
	output_vlan=7 -- set Bridge "bq$$" mirrors=@new
must "the switch ends" stop_switch
must "... and starts again" start_switch
check "the mirror is in force again" at_least "$(vsctl get Mirror m1 statistics:tx_packets)" 0
check "the daemon is well" vsctl list-br
