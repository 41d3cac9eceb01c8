#!/usr/bin/env bash
# All that needs a GPU, in one go: the tests of the CUDA kernels, the sanitizer, the benchmarks. From the checkout:
#
#     pip install -e ".[cuda,test,bench]"        # cuda12 for CUDA 12; bench brings the peer
#     benchmarks/run_gpu.sh [FOLDER]
#
# Results are files in FOLDER (gpu-results unless given): what failed is in summary.txt, and nothing stops the rest.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${1:-gpu-results}
mkdir -p "$out"
: > "$out/summary.txt"

# NAME COMMAND…: run it, keep what it prints, note how it ended.
step() {
  local name=$1
  shift
  echo "== $name: $*"
  "$@" > "$out/$name.txt" 2>&1
  local code=$?
  echo "$name: exit $code: $*" >> "$out/summary.txt"
  tail -n 3 "$out/$name.txt"
}

step machine nvidia-smi
step versions "$python" -m pip list
cases=(tests/kernels/cuda/cases_*.py)

step tests "$python" -m pytest --gpu -q -p no:cacheprovider "${cases[@]}"
step check "$python" -m tomograd check --backend cuda --output json

# Small sets: the sanitizer slows kernels down a hundredfold.
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
      "$python" -m pytest --gpu -q -p no:cacheprovider "${cases[@]}" -k "training_run or empty or infinit or any_order"
  done
else
  echo "sanitizer: not run, compute-sanitizer is not on the path" >> "$out/summary.txt"
fi

for precision in float32 tf32; do
  for section in kernels steps; do
    step "$section-$precision" "$python" -m tomograd bench "$section" --device cuda --precision "$precision" \
      --peer torch --output json --file "$out/$section-$precision.json"
  done
done
step steps-captured "$python" -m tomograd bench steps --device cuda --peer captured --output json \
  --file "$out/steps-captured.json"
reports=("$out"/*.json)
[ -e "${reports[0]}" ] && step report "$python" -m tomograd bench report "${reports[@]}" --output html --file "$out/report.html"

echo
cat "$out/summary.txt"
! grep -qv ": exit 0: " "$out/summary.txt"
