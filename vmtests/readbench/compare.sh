#!/bin/sh
# Compares read paths: compare.sh KERNEL PATCHES [RUNS]
#
# Half of the runs count instructions, the other half take the time; each run
# has every path in it, so that what changes between runs does so for all. The
# lines of both are kept in the format of go test -bench, and shown as tables
# of medians with 95 % intervals (from 6 runs on), compared with path copy.
set -eu
kernel=$1 patches=$2 runs=${3:-6}
out=$(mktemp -d "${TMPDIR:-/tmp}/readpaths.XXXXXX")

# bench NAME FLAG... runs all benchmarks once and keeps their lines.
bench() {
	name=$1
	shift
	./runvm test -kernel "$kernel" -patches "$patches" -timeout 60m "$@" \
		-v -run '^$' -bench . ./vmtests/readbench >"$out/$name.log" || { tail -n 20 "$out/$name.log"; exit 1; }
	sed -n 's/.*\(BenchmarkRead\/path=[^ ]* *	 *[0-9].*\)/\1/p' "$out/$name.log" >>"$out/$name.txt"
}

# table NAME UNIT... shows them.
table() {
	name=$1 units=$2
	go tool -modfile=tools/go.mod benchstat -filter ".unit:($units)" -row /backing,/size \
		-col '/path@(copy splice splice-move rsplice-pipe rsplice-direct passthrough none)' "$out/$name.txt"
}

for run in $(seq "$runs"); do
	echo "run $run of $runs" >&2
	bench instructions -deterministic -seed "$run"
	bench time
done
table instructions 'srv-instr/KiB OR extra-instr/KiB OR all-instr/KiB OR calls/READ OR moved/MiB'
table time MiB/s
echo "lines of go test -bench: $out" >&2
