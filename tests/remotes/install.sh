#!/usr/bin/env bash
# Installs what the remote MCP servers that run.py tries are written with, exactly as the lock files beside this script
# pin it, each package checked against its recorded hash:
#
#   package-lock.json          ->  node_modules: both lines of the TypeScript SDK, and server-everything
#   requirements/NAME.txt      ->  venv-NAME, one for each set of versions that do not go together
#   servers/rmcp/Cargo.lock    ->  servers/rmcp/target, the server on the Rust SDK, which is built: some two minutes
#
# Everything stays in this directory, some 700 MB. A stamp for each of these records what was installed, so a second run
# does nothing and says nothing; two runs at once wait for each other. They are installed one after the other. No install
# script of any package of npm or PyPI is run, and of those nothing is compiled.
#
# To move to newer versions: edit package.json, servers/rmcp/Cargo.toml or requirements/NAME.in, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
#   uv pip compile --universal --generate-hashes --python-version 3.11 --no-annotate \
#      --no-header NAME.in                  (put its output under the head of NAME.txt)
#   cargo update --manifest-path servers/rmcp/Cargo.toml
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../support/npm.sh

names=(py1 py2 fastmcp)
if (($#)); then
  echo "usage: tests/remotes/install.sh" >&2
  exit 2
fi

fail() {
  printf 'tests/remotes/install.sh: %s\n' "$1" >&2
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

node_is_installed() {
  stamped npm "$1" && [[ -d node_modules/@modelcontextprotocol/server ]]
}

# An interpreter that the system has replaced since leaves a venv whose python does not start.
python_is_installed() {
  stamped "venv-$1" "$2" && "venv-$1/bin/python" -c '' 2>/dev/null
}

rmcp_is_built() {
  stamped rmcp "$1" && [[ -x servers/rmcp/target/debug/remote-rmcp ]]
}

build_rmcp() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or later"
  echo "tests/remotes: building the server on the Rust SDK"
  # A folder of its own: it has nothing in common with the daemon's, which others may be waiting for.
  cargo build --locked --quiet --manifest-path servers/rmcp/Cargo.toml --target-dir servers/rmcp/target ||
    fail "cargo build failed; its output is above"
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
  echo "tests/remotes: installing the PyPI servers of venv-$1"
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
  rm -f .stamp-npm
  npm_ci "tests/remotes: installing the npm servers"
  echo "$wanted_node" >.stamp-npm
fi
for name in "${names[@]}"; do
  wanted_python=$(wanted "requirements/$name.txt")
  if ! python_is_installed "$name" "$wanted_python"; then
    rm -f ".stamp-venv-$name"
    install_python "$name"
    echo "$wanted_python" >".stamp-venv-$name"
  fi
done
wanted_rmcp=$(wanted servers/rmcp/Cargo.toml servers/rmcp/Cargo.lock servers/rmcp/src/*.rs)
if ! rmcp_is_built "$wanted_rmcp"; then
  rm -f .stamp-rmcp
  build_rmcp
  echo "$wanted_rmcp" >.stamp-rmcp
fi
