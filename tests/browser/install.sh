#!/usr/bin/env bash
# Installs what run.py needs: the MCP server of Playwright, exactly as package-lock.json beside this script pins it, with
# its hash, and Debian's Chromium, which is what makes this no part of `make test`: 25 packages and some 400 MB.
#
# No install script of any package is run, so Playwright downloads no browser of its own. A stamp records what was
# installed, so a second run does nothing and says nothing; two runs at once wait for each other. Only root on Debian or
# Ubuntu gets the browser installed; elsewhere it has to be there.
#
# To move to a newer version: edit package.json, then
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
  printf 'tests/browser/install.sh: %s\n' "$1" >&2
  exit 1
}

server_is_installed() {
  [[ -f .stamp-npm && $(<.stamp-npm) == "$1" && -x node_modules/.bin/playwright-mcp ]]
}

install_server() {
  command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later with it (Debian, Ubuntu: apt install nodejs npm)"
  echo "tests/browser: installing the npm server"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >.stamp-npm-log 2>&1 || {
    cat .stamp-npm-log >&2
    fail "npm ci failed; its output is above"
  }
}

install_browser() {
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    fail "chromium is missing: install it (only root on Debian or Ubuntu gets it installed here)"
  fi
  echo "tests/browser: installing Debian's chromium"
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      -o DPkg::Lock::Timeout=300 chromium
  } >.stamp-apt-log 2>&1 || {
    cat .stamp-apt-log >&2
    fail "apt-get failed; its output is above"
  }
}

exec 9>.stamp-lock
flock 9
wanted=$({ pwd -P; sha256sum -- install.sh package.json package-lock.json; } | sha256sum | cut -d' ' -f1)
if ! server_is_installed "$wanted"; then
  rm -f .stamp-npm
  install_server
  echo "$wanted" >.stamp-npm
fi
command -v chromium >/dev/null || install_browser
