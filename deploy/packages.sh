#!/usr/bin/env bash
# Installs the distribution packages that heed is built from. The one list of them: the demo, the tests and the
# Dockerfile all come here. For Debian 12 and 13 and Ubuntu 24.04.
#
#   deploy/packages.sh            install what is missing, with sudo when not root
#   deploy/packages.sh --check    only say what is missing; exit code 1 when something is
#   deploy/packages.sh --list     print the names
#   deploy/packages.sh --format   clang-format as well, for the format check
#   deploy/packages.sh --without-tests   what a build with HEED_BUILD_TESTS=OFF needs, as in the Dockerfile
set -euo pipefail

packages=(
  g++ cmake ninja-build pkgconf                   # the tools
  libgrpc++-dev protobuf-compiler-grpc            # RPC
  libprotobuf-dev protobuf-compiler               # the wire format
  libdnnl-dev                                     # oneDNN: matrix products
  libabsl-dev                                     # statuses, strings, flags, synchronisation
  libsimdjson-dev                                 # JSON
  libpcre2-dev                                    # the tokenizers' pre-tokenizer patterns
  libutf8proc-dev                                 # Unicode normalisation and character widths
  libcpp-httplib-dev                              # the browser's side of heed explore
  libspdlog-dev                                   # the server's log
  libxxhash-dev                                   # XXH3 of packed copies of weights
  libssl-dev                                      # SHA-256 of the checkpoints; gRPC's own TLS
)
test_packages=(
  libgtest-dev libgmock-dev                       # the tests
  python3 python3-grpcio python3-protobuf         # scoring the shipped models through a server
)

fail() {
  echo "deploy/packages.sh: $*" >&2
  exit 1
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

find_missing() {
  missing=()
  local package
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "installing needs root and there is no sudo. As root, run: apt-get install ${missing[*]}"
  fi
}

install_missing() {
  as_root apt-get -q update ||
    fail "apt-get update failed; without the package lists nothing can be installed"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y install --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}"
  find_missing
  [ ${#missing[@]} -eq 0 ] || fail "still missing after the installation: ${missing[*]}"
}

action=install
without_tests=
for argument in "$@"; do
  case $argument in
    --check) action=check ;;
    --list) action=list ;;
    --format) test_packages+=(clang-format) ;;
    --without-tests) without_tests=yes ;;
    *) fail "unknown argument \"$argument\"; --check, --list, --format and --without-tests are known" ;;
  esac
done
[ -n "$without_tests" ] || packages+=("${test_packages[@]}")

if [ "$action" = list ]; then
  printf '%s\n' "${packages[@]}"
  exit
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this system has no apt; heed builds from the packages of Debian 12 or 13 or Ubuntu 24.04"
fi

find_missing
if [ ${#missing[@]} -eq 0 ]; then
  echo "already installed: ${packages[*]}"
elif [ "$action" = check ]; then
  echo "missing: ${missing[*]}"
  exit 1
else
  echo "installing: ${missing[*]}"
  install_missing
  echo "installed"
fi
