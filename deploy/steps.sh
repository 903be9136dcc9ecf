# shellcheck shell=bash
# What demo.sh and tests/run.sh have in common: numbered steps, a log, packages and a build. To be sourced.
: "${root:?the root of the repository}" "${step_count:?how many steps there are}" "${log:?the file for details}"
step=0

# begin_step NAME: the line that this step will fill.
begin_step() {
  step=$((step + 1))
  step_name=$1
  printf '[%d/%d] %-10s ' "$step" "$step_count" "$step_name"
}

# fail_step MESSAGE...: says which step failed and how its log ends.
fail_step() {
  {
    printf '\n\n%s: step %d of %d (%s) failed: %s\n' "${0##*/}" "$step" "$step_count" "$step_name" "$*"
    if [ -s "$log" ]; then
      printf 'The end of %s:\n\n' "$log"
      tail -n 25 "$log" | sed 's/^/    /'
    fi
  } >&2
  exit 1
}

minutes() {
  if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d m %d s' $(($1 / 60)) $(($1 % 60)); fi
}

packages_step() {
  begin_step packages
  local answer
  if answer=$("$root/deploy/packages.sh" --check 2>>"$log"); then
    echo "all $("$root/deploy/packages.sh" --list | wc -l) already installed"
    return
  fi
  [ -n "$answer" ] || fail_step "the packages could not be looked up"
  echo "installing ${answer#missing: }"
  "$root/deploy/packages.sh" >>"$log" 2>&1 </dev/null || fail_step "apt could not install them"
}

# draw_bar DONE TOTAL: redraws the step's line on a terminal.
draw_bar() {
  local width=24 filled bar
  filled=$((width * $1 / $2))
  printf -v bar '%*s' "$filled" ''
  printf '\r[%d/%d] %-10s %s%*s %3d %%  (%s)' "$step" "$step_count" "$step_name" "${bar// /█}" \
    $((width - filled)) '' $((100 * $1 / $2)) "$(minutes $((SECONDS - build_start)))"
}

# Reads what ninja says, keeps it in the log, and shows how far it is.
show_progress() {
  local line done_count='' total=''
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ $line =~ ^@([0-9]+)/([0-9]+)@ ]] || continue
    done_count=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
    if [ -t 1 ]; then draw_bar "$done_count" "$total"; fi
  done
  if [ -z "$total" ] || [ "$done_count" -eq 0 ]; then
    echo "up to date"
  elif [ -t 1 ]; then
    echo
  else
    echo "$done_count steps in $(minutes $((SECONDS - build_start)))"
  fi
}

# build_step PRESET [TARGET...]: configures and builds into build/PRESET; all targets when none is named.
build_step() {
  local preset=$1
  local -a command=(cmake --build "$root/build/$preset" --parallel "$(nproc)")
  shift
  [ $# -eq 0 ] || command+=(--target "$@")
  begin_step build
  build_start=$SECONDS
  local -a configure=(cmake -S "$root" --preset "$preset")
  # Without the two allowances ccache would not keep what is compiled with precompiled headers.
  if command -v ccache >/dev/null; then
    configure+=("-DCMAKE_CXX_COMPILER_LAUNCHER=env;CCACHE_SLOPPINESS=pch_defines,time_macros;ccache")
  fi
  (cd "$root" && "${configure[@]}") >>"$log" 2>&1 || fail_step "CMake could not configure the $preset preset"
  NINJA_STATUS='@%f/%t@ ' "${command[@]}" 2>&1 | show_progress ||
    fail_step "the $preset preset does not build"
}
