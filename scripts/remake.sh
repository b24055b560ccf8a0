#!/usr/bin/env bash
# Make both packaged networks again: M's first run from scratch, then S, which it teaches, then the two sharpness-aware runs
# whose mean M is. On two CPU cores with AVX-512 BF16 the first two take two hours and a half, the others three hours on
# two without. Called again it goes on where it was stopped.
#
#     scripts/remake.sh [PROCESSED] [RUNS]
#
# `scripts/ship_model.py runs/student-s` and `scripts/ship_model.py runs/flat-0 runs/flat-1 --size m` then put them into the
# package and their figures into the documents.
set -euo pipefail
data=${1:-processed} runs=${2:-runs}

python -m mien train --recipe student-m --data "$data" --out "$runs/student-m" --resume
[ -e "$runs/views-m.npz" ] ||
    python -m mien distil-views "$runs/student-m" --everyone --count 24 --data "$data" --out "$runs/views-m.npz"
python -m mien train --recipe student-s --views "$runs/views-m.npz" --data "$data" --out "$runs/student-s" --resume

# Side by side, a thread each: two threads would wait for each other at every layer.
flat=(python -m mien train --recipe student-m --init "$runs/student-m" --data "$data" --threads 1 --resume)
"${flat[@]}" --set sam=0.1 --set learning_rate=0.03 --set epochs=15 --set warmup=1 --out "$runs/flat-0" &
first=$!
"${flat[@]}" --set sam=0.15 --set learning_rate=0.01 --set epochs=7 --set warmup=0.5 --set seed=1 --out "$runs/flat-1" &
second=$! failed=0
wait "$first" || failed=1
wait "$second" || failed=1
exit "$failed"
