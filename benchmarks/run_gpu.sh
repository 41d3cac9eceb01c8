#!/usr/bin/env bash
# All that needs a GPU: the tests of the CUDA kernels, the benchmarks, the sanitizer. From the checkout:
#
#     benchmarks/run_gpu.sh [--out FOLDER] [--limit SECONDS] [--total SECONDS] [STEP…]    # all steps, as --list has them
#     benchmarks/run_gpu.sh --list
#
# Installed must be what `pip install -e ".[cuda,test,bench]"` brings (cuda12 for CUDA 12); where tomograd itself is not
# installed, the checkout is used as it lies. PYTHON names the interpreter.
#
# Results are files in FOLDER (gpu-results unless given): NAME.txt is what a step printed, summary.txt how each ended.
# Nothing stops the rest: a step that takes longer than its limit is interrupted, and killed if it goes on; what --total
# leaves no time for is not begun, but for the report. Benchmarks write after every row; started again with the same
# FOLDER they go on where they were. `report` makes a page of it all, and a file for benchmarks/results.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
python=${PYTHON:-python3}
out=gpu-results
limit=
total=
grace=${GRACE:-20}  # seconds from an interrupt until a step is killed
for_report=15  # seconds that are kept for the report

# Name, seconds that it may take, and what it is.
steps='
machine           60  the GPU, its driver, what is installed
compile          540  all kernels, for this GPU, by all processors
tests-quick      300  cases of the tensor cores
tests            540  all cases of the kernels
check            300  every function of the engine, derivatives too
steps-tf32       540  whole networks beside the peer, products rounded to TF32
kernels-tf32     540  kernels with products, TF32
kernels-float32  540  all kernels, exact
steps-float32    540  whole networks, exact
kernels-float16  540  kernels of float16 arrays
kernels-bfloat16 540  kernels with products, bfloat16
steps-bfloat16   540  whole networks, bfloat16
steps-captured   540  training steps as CUDA graphs beside steps that are not, without a peer
memcheck         540  compute-sanitizer over small cases: accesses out of bounds
racecheck        540  races in shared memory
initcheck        540  reads of what nobody wrote
synccheck        540  barriers that not all threads reach
report            60  a page and a file of the results
'
names=$(awk 'NF {print $1}' <<< "$steps")

usage() {
  echo "usage: benchmarks/run_gpu.sh [--out FOLDER] [--limit SECONDS] [--total SECONDS] [--list] [STEP…]" >&2
  exit 2
}

chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:-} && [ -n "$out" ] || usage; shift 2 ;;
    --limit) limit=${2:-} && [[ $limit =~ ^[0-9]+$ ]] || usage; shift 2 ;;
    --total) total=${2:-} && [[ $total =~ ^[0-9]+$ ]] || usage; shift 2 ;;
    --list) sed '/^$/d' <<< "$steps"; exit 0 ;;
    -*) usage ;;
    *) grep -qx -- "$1" <<< "$names" || { echo "no step is called $1; --list names them" >&2; exit 2; }
       chosen+=("$1"); shift ;;
  esac
done
[ ${#chosen[@]} -gt 0 ] || mapfile -t chosen <<< "$names"
mkdir -p "$out" || exit 2
summary=$out/summary.txt
touch "$summary"

# The checkout as a package, where none is installed: a folder of links, as setup.py lays them out.
if ! (cd / && "$python" -c "import tomograd") > /dev/null 2>&1; then
  package=$(mktemp -d) && "$python" benchmarks/as_package.py "$package" || exit 2
  trap 'rm -rf "$package"' EXIT
  export PYTHONPATH=$package${PYTHONPATH:+:$PYTHONPATH}
fi
export TOMOGRAD_QUIET=1 PYTHONUNBUFFERED=1

# NAME COMMAND…: run it for at most its time, keep what it prints, note how it ended.
run() {
  local name=$1 seconds started code how
  shift
  seconds=${limit:-$(awk -v name="$name" '$1 == name {print $2}' <<< "$steps")}
  if [ -n "$total" ] && [ "$name" != report ]; then
    local left=$((total - SECONDS - grace - for_report))
    [ "$seconds" -le "$left" ] || seconds=$left
  fi
  sed -i "/^$name: /d" "$summary"  # of an earlier run
  if [ "$seconds" -le 0 ]; then
    echo "$name: not begun, no time was left: $*" >> "$summary"
    return
  fi
  echo "== $name: $*"
  started=$SECONDS
  timeout --signal=INT --kill-after="$grace" "$seconds" "$@" > "$out/$name.txt" 2>&1
  code=$?
  case $code in
    0) how=passed ;;
    124 | 137) how="stopped after $seconds s" ;;
    127) how="not run, a program is missing" ;;
    *) how="failed, exit $code" ;;
  esac
  echo "$name: $how ($((SECONDS - started)) s): $*" >> "$summary"
  tail -n 3 "$out/$name.txt"
}

machine() {
  nvidia-smi || true
  "$python" -m pip list || true
  command -v compute-sanitizer nvcc || true
}

tests() {  # FILE…
  "$python" -m pytest --gpu -q -p no:cacheprovider "$@"
}

bench() {  # SECTION PRECISION, and further options: goes on with what is there
  local file=$out/$1-${3:-$2}.json peer=torch
  [ "${3:-}" = captured ] && peer=captured
  "$python" -m tomograd bench "$1" --device cuda --precision "$2" --peer "$peer" --resume --output json --file "$file"
}

sanitizer() {  # TOOL
  compute-sanitizer --tool "$1" --error-exitcode 9 --target-processes all \
    "$python" -m pytest --gpu --no-pool -q -p no:cacheprovider tests/kernels/cuda/cases_*.py \
    -k "training_run or empty or infinit or any_order"
}

report() {
  "$python" -m tomograd.benchmarks.record "$out" --into "$out" --page "$out/report.html"
}

# `timeout` runs programs: functions reach it through another shell of this script.
export python out
export -f machine tests bench sanitizer report
for name in "${chosen[@]}"; do
  case $name in
    machine | report) run "$name" bash -c "$name" ;;
    compile) run "$name" "$python" -m tomograd warmup --device cuda ;;
    tests-quick)
      run "$name" bash -c 'tests "$@"' bash tests/kernels/cuda/cases_*tensor_cores.py ;;
    tests) run "$name" bash -c 'tests "$@"' bash tests/kernels/cuda/cases_*.py ;;
    check) run "$name" bash -c '"$python" -m tomograd check --backend cuda --output json' ;;
    steps-captured) run "$name" bash -c 'bench steps float32 captured' ;;
    kernels-* | steps-*) run "$name" bash -c "bench ${name%%-*} ${name#*-}" ;;
    *) run "$name" bash -c "sanitizer $name" ;;
  esac
done

echo
cat "$summary"
! grep -qv "^[a-z0-9-]*: passed " "$summary"
