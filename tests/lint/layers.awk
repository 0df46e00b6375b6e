# Includes go only to the left in the straight line of folders (docs/architecture.md); folders of
# one rank do not include each other. tests/ and bench/ may include anything.

BEGIN {
	n = split("common=0 flowtable=1 vport=1 l2=2 tunnels=2 qos=2 datapath=3 ofproto=4 ctl=5", list, " ")
	for (i = 1; i <= n; i++) {
		split(list[i], pair, "=")
		rank[pair[1]] = pair[2]
	}
}

function folder(path) {
	sub(/\/.*/, "", path)
	return path
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	path = $0
	sub(/^[^"]*"/, "", path)
	sub(/".*/, "", path)
	from = folder(FILENAME)
	to = folder(path)
	if (!(from in rank))
		next
	if (path !~ /\// || !(to in rank)) {
		printf "%s:%d: \"%s\" is not an include from the root: write \"%s/%s\"\n",
			FILENAME, FNR, path, from, path
		bad = 1
	} else if (from != to && rank[to] >= rank[from]) {
		printf "%s:%d: %s/ may not include %s/ (%s): folders include only those left of them\n",
			FILENAME, FNR, from, to, path
		bad = 1
	}
}

END {
	exit bad
}
