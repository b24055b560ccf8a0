#!/bin/sh
# From prepared data to students that learned from an ensemble, in pieces that end by themselves; docs/training.md says
# what each is expected to take. Called again, teachers and students go on where they stopped; views begin again.
#
#     scripts/train_on_gpu.sh teachers | views | students
#
# What is chosen here can be changed from outside, as scripts/rehearse_gpu.sh does.
set -eu

: "${PYTHON:=python3}" "${DATA:=processed}" "${RUNS:=runs}" "${MINUTES:=9}" "${VIEWS:=32}" "${SEEDS:=0}"
: "${TEACHER:=}" "${STUDENT:=--set epochs=400 --set batch=512 --set learning_rate=0.2}" "${OPTIONS:=}"
# The first five cover every fold, so that each image has a teacher that did not learn from it; the next five give it a
# second one, of another kind. What time does not allow is left out from the end.
: "${MEMBERS:=resnet-18:0,vgg-13:1,se-resnet-18:2,vgg-13:3,resnet-18:4,vgg-13:0,resnet-18:1,vgg-13:2,se-resnet-18:3,vgg-13:4}"

mien() {
    "$PYTHON" -m mien "$@"
}

case "${1:-}" in
teachers) # shellcheck disable=SC2086 # options are words
    mien train --recipe teacher --members "$MEMBERS" --data "$DATA" --out "$RUNS/teacher" \
        --minutes "$MINUTES" $TEACHER $OPTIONS
    ;;
views) # by the members that are done
    if ! held_out=$(ls "$RUNS"/teacher/*/held_out.npz 2>/dev/null); then
        echo "no teacher in $RUNS/teacher is done: call $0 teachers" >&2
        exit 2
    fi
    # shellcheck disable=SC2046,SC2086
    mien distil-views $(echo "$held_out" | sed 's|/held_out.npz||') --data "$DATA" \
        --out "$RUNS/views" --count "$VIEWS" $OPTIONS
    ;;
students) # side by side: networks this small leave a GPU idle by themselves
    pids=""
    for seed in $SEEDS; do
        for size in s m; do
            out="$RUNS/student-$size-$seed" resume=""
            [ ! -e "$out/settings.json" ] || resume=--resume
            # shellcheck disable=SC2086
            mien train --recipe "student-$size" --views "$RUNS/views" --data "$DATA" --out "$out" $resume \
                --set "seed=$seed" --minutes "$MINUTES" $STUDENT $OPTIONS &
            pids="$pids $!"
        done
    done
    failed=0
    for pid in $pids; do wait "$pid" || failed=1; done # none is left behind when another fails
    exit "$failed"
    ;;
*)
    echo "usage: scripts/train_on_gpu.sh teachers | views | students" >&2
    exit 2
    ;;
esac
