#!/usr/bin/env bash
# Make both packaged networks again: M from scratch, then S, which M teaches; two hours and a half of two CPU cores with
# AVX-512 BF16. Called again it goes on where it was stopped; only the views, a quarter of an hour, begin again.
#
#     scripts/remake.sh [PROCESSED] [RUNS]
#
# `scripts/ship_model.py RUN --size s` or `m` then puts a run's network into the package and its figures into the documents.
set -euo pipefail
data=${1:-processed} runs=${2:-runs}

python -m mien train --recipe student-m --data "$data" --out "$runs/student-m" --resume
[ -e "$runs/views-m.npz" ] ||
    python -m mien distil-views "$runs/student-m" --everyone --count 24 --data "$data" --out "$runs/views-m.npz"
python -m mien train --recipe student-s --views "$runs/views-m.npz" --data "$data" --out "$runs/student-s" --resume
