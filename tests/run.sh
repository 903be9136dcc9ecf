#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. ctest's summary comes last and its exit code is kept.
#
#   tests/run.sh                     the release preset
#   tests/run.sh --preset asan       or debug, tsan
#   tests/run.sh [...] -R generate   everything else goes to ctest
set -euo pipefail

step_count=3
preset=release
ctest_arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?--preset needs a name: release, debug, asan or tsan}; shift 2 ;;
    --preset=*) preset=${1#--preset=}; shift ;;
    *) ctest_arguments+=("$1"); shift ;;
  esac
done
case $preset in
  release | debug | asan | tsan) ;;
  *) echo "tests/run.sh: no preset \"$preset\"; there are release, debug, asan and tsan" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
log=$root/build/tests-$preset.log
mkdir -p "$root/build"
: >"$log"
# shellcheck source-path=SCRIPTDIR source=../deploy/steps.sh
source "$root/deploy/steps.sh"

packages_step
build_step "$preset"
begin_step tests
echo
cd "$root"
exec ctest --preset "$preset" --parallel "$(nproc)" "${ctest_arguments[@]}"
