#!/usr/bin/env bash
# From a fresh clone to a served model: installs what is missing, builds, starts a server on a free loopback port, and
# asks it what comes next, what it looked at, and what each of the shipped models can tell apart.
#
#   deploy/demo.sh            the server ends with the demo
#   deploy/demo.sh --serve    the server goes on running
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
demo=$root/build/demo
log=$demo/log
step_count=4
prompt='the keys to the cabinet'
reordered='the cabinet to the keys'
heed=$root/build/release/client/cli/heed
heed_server=$root/build/release/server/heed-server
server_pid=''
keep_serving=''

case ${1:-} in
  '') ;;
  --serve) keep_serving=yes ;;
  *)
    echo "usage: deploy/demo.sh [--serve]" >&2
    exit 2
    ;;
esac
mkdir -p "$demo"
: >"$log"
# shellcheck source-path=SCRIPTDIR source=steps.sh
source "$root/deploy/steps.sh"

stop_server() {
  [ -n "$server_pid" ] || return 0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  rm -f "$demo/port"
  server_pid=''
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

is_healthy() {
  "$heed" health --server="$address" --deadline=1s >>"$log" 2>&1
}

# True when the server of an earlier --serve still answers; sets `address`.
find_running_server() {
  [ -s "$demo/port" ] || return 1
  address=127.0.0.1:$(cat "$demo/port")
  is_healthy
}

start_server() {
  local -a command=("$heed_server" --listen=127.0.0.1:0 --port-file="$demo/port")
  # A server that stays gets a session of its own, so that closing the terminal does not end it.
  if [ -n "$keep_serving" ]; then command=(setsid "${command[@]}"); fi
  rm -f "$demo/port"
  "${command[@]}" >"$demo/server.log" 2>&1 </dev/null &
  server_pid=$!
}

# The port file appears when the server answers.
wait_for_server() {
  local give_up=$((SECONDS + 60))
  until [ -s "$demo/port" ] && find_running_server; do
    if ! kill -0 "$server_pid" 2>/dev/null; then
      log=$demo/server.log
      fail_step "heed-server ended instead of serving"
    elif [ $SECONDS -ge $give_up ]; then
      log=$demo/server.log
      fail_step "heed-server did not answer within a minute"
    fi
    sleep 0.1
  done
}

server_step() {
  begin_step server
  if find_running_server; then
    echo "the one on $address still runs"
    return
  fi
  start_server
  wait_for_server
  grep -m 1 'ready on' "$demo/server.log" || echo "heed-server ready on $address"
}

# Asks the server, after showing the command as one would type it.
ask() {
  local shown='heed' word
  for word in "$@"; do
    if [[ $word == *' '* ]]; then shown+=" \"$word\""; else shown+=" $word"; fi
  done
  printf '\n$ %s\n' "$shown"
  "$heed" "$@" --server="$address" 2>>"$log" || fail_step "\"$shown\" got no answer"
}

questions_step() {
  begin_step questions
  echo 'which models, what comes next, what did it look at, what can each model tell apart, and then?'
  ask models
  ask predict "$prompt" --top=8
  ask predict "$prompt" --candidates=were,was
  ask attention "$prompt" --layer=-1
  ask ladder "$prompt"
  ask ladder "$prompt" "$reordered" --models=average,decoder --top=3
  ask generate "$prompt" --max-tokens=32
}

say_how_to_go_on() {
  if [ -z "$keep_serving" ]; then
    printf '\nKeep it running: deploy/demo.sh --serve\n'
    return
  fi
  local call="${heed#"$PWD/"} --server=$address"
  printf '\nThe server goes on running on %s. Try:\n\n' "$address"
  printf '  %s attention "%s" --html=attention.html\n' "$call" "$prompt"
  printf '  %s ladder "%s" "%s" --html=ladder.html\n' "$call" "$prompt" "$reordered"
  printf '  %s generate "the keys to" --temperature=0.8\n' "$call"
  printf '\nStop it with: kill %s\n' "$(cat "$demo/pid")"
}

packages_step
build_step release heed-server heed
server_step
questions_step
if [ -n "$keep_serving" ] && [ -n "$server_pid" ]; then
  echo "$server_pid" >"$demo/pid"
  server_pid=''
fi
say_how_to_go_on
