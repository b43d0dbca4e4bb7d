# Sourced by the install.sh of a folder, which has `fail` and stands in it.

# npm_ci WHAT [FLAG]...: says what is installed, and installs what package-lock.json pins, each package checked against
# its recorded hash. No install script of any package is run.
npm_ci() {
  local what=$1 major
  shift
  command -v node >/dev/null || fail "node is missing: install Node.js 20 or later (Debian, Ubuntu: apt install nodejs npm)"
  command -v npm >/dev/null || fail "npm is missing: install it beside Node.js (Debian, Ubuntu: apt install npm)"
  major=$(node -p 'process.versions.node.split(".")[0]')
  ((major >= 20)) || fail "node $(node --version) is too old: install Node.js 20 or later"
  echo "$what"
  npm ci "$@" --ignore-scripts --no-audit --no-fund --loglevel=error >.stamp-npm-log 2>&1 || {
    cat .stamp-npm-log >&2
    fail "npm ci failed; its output is above"
  }
}
