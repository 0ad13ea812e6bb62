#!/usr/bin/env bash
set -e
echo "script in $(pwd)"
f=$(mktemp)
seq 3 > "$f"
echo "$(wc -l < "$f") lines"
exit 5
