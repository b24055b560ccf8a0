#!/usr/bin/env bash
# Make both packaged networks again: M from scratch, then S, which M teaches; two hours and a half of two CPU cores with
# AVX-512 BF16. Called again it goes on where it was stopped; only the views, a quarter of an hour, begin again.
#
#     scripts/remake.sh [PROCESSED] [RUNS]
#
# `scripts/ship_model.py RUN --size s` or `m` then puts a run's network into the package and its figures into the documents.
set -euo pipefail
data=${1:-processed} runs=${2:-runs}

train() { # begin the run $1, or go on with it
    local out=$1
    shift
    [ ! -e "$out/settings.json" ] || set -- "$@" --resume
    python -m mien train --data "$data" --out "$out" "$@"
}

train "$runs/student-m" --recipe student-m
[ -e "$runs/views-m.npz" ] ||
    python -m mien distil-views "$runs/student-m" --everyone --count 24 --data "$data" --out "$runs/views-m.npz"
train "$runs/student-s" --recipe student-s --views "$runs/views-m.npz"
