#!/bin/sh
# The whole way of scripts/train_on_gpu.sh on a CPU in 80 seconds of one core: two members of two epochs, views, students,
# ONNX. With prepared data it takes a hundred of its images; without, it makes up noise in the same form.
#
#     scripts/rehearse_gpu.sh [processed]
set -eu

: "${PYTHON:=python3}" "${MEMBERS:=vgg-13:0,resnet-18:1}"
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$PYTHON" "$here/small_data.py" "$work/all" ${1+"$1"}
"$PYTHON" "$here/pack_data.py" pack "$work/all" "$work/data.zip" # as it would travel
"$PYTHON" "$here/pack_data.py" unpack "$work/data.zip" "$work/data"

export PYTHON MEMBERS DATA="$work/data" RUNS="$work/runs" VIEWS=2
export OPTIONS="--threads 1 --device cpu"
export TEACHER="--set epochs=2 --set batch=8 --set warmup=1" STUDENT="--set epochs=2 --set batch=8"

MINUTES=0.01 "$here/train_on_gpu.sh" teachers # stopped by its limit after an epoch …
"$here/train_on_gpu.sh" teachers               # … and gone on with
"$here/train_on_gpu.sh" views
"$here/train_on_gpu.sh" students
"$PYTHON" "$here/measure_teachers.py" "$RUNS"/teacher/* --views "$RUNS/views" --data "$DATA" --out "$work/teachers.json"
for size in s m; do
    "$PYTHON" -m mien export "$RUNS/student-$size-0" --out "$work/$size.onnx"
done
echo "The whole way is passable."
