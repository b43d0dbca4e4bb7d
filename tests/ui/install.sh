#!/usr/bin/env bash
# Installs what run.mjs needs: Playwright's library and axe-core as package-lock.json beside this script pins them, with their
# hashes, and Debian's Chromium where there is none. A second run does nothing and says nothing.
#
# To move to a newer version: edit package.json, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
  printf 'tests/ui/install.sh: %s\n' "$1" >&2
  exit 1
}
source ../support/npm.sh

exec 9>.stamp-lock
flock 9
wanted=$({ pwd -P; sha256sum -- install.sh package.json package-lock.json; } | sha256sum | cut -d' ' -f1)
if [[ ! -f .stamp-npm || $(<.stamp-npm) != "$wanted" || ! -d node_modules/playwright-core ]]; then
  rm -f .stamp-npm
  npm_ci "tests/ui: installing playwright-core and axe-core"
  echo "$wanted" >.stamp-npm
fi
command -v chromium >/dev/null || {
  ((EUID == 0)) && command -v apt-get >/dev/null ||
    fail "chromium is missing: install it (only root on Debian or Ubuntu gets it installed here)"
  echo "tests/ui: installing Debian's chromium"
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium
  } >.stamp-apt-log 2>&1 || {
    cat .stamp-apt-log >&2
    fail "apt-get failed; its output is above"
  }
}
