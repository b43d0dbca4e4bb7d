#!/usr/bin/env bash
# Installs what run.py puts behind and beside the daemon: an authorization server that others wrote and had certified,
# and the SDK that the server which wants its tokens is written with, exactly as package-lock.json beside this script
# pins it, each package checked against its recorded hash.
#
# Everything stays in this directory, some 40 MB. A stamp records what was installed, so a second run does nothing and
# says nothing; two runs at once wait for each other. No install script of any package is run and nothing is compiled.
#
# To move to newer versions: edit package.json, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
# oidc-provider stays at its eighth line for as long as Node.js 20 is to do: the ninth calls URL.parse, which came later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../support/npm.sh

if (($#)); then
  echo "usage: tests/authorization/install.sh" >&2
  exit 2
fi

fail() {
  printf 'tests/authorization/install.sh: %s\n' "$1" >&2
  exit 1
}

# What the stamp must say: the lock file and this script as they are, and where they are.
wanted() {
  { pwd -P; sha256sum -- install.sh ../support/npm.sh package.json package-lock.json; } | sha256sum | cut -d' ' -f1
}

is_installed() {
  [[ -f .stamp-npm && $(<.stamp-npm) == "$1" && -d node_modules/oidc-provider ]]
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"
command -v flock >/dev/null || fail "flock is missing: install util-linux"
exec 9>.stamp-lock
flock 9

wanted_node=$(wanted)
if ! is_installed "$wanted_node"; then
  rm -f .stamp-npm
  npm_ci "tests/authorization: installing the authorization server and the SDK from npm"
  echo "$wanted_node" >.stamp-npm
fi
