#!/usr/bin/env bash
# What the three clients promise, against a real daemon: `make test-sdk`. Takes the daemon and the scripted test server; installs what
# it needs (pinned packages of npm and PyPI; Debian's golang-go, where it is missing and apt-get may be called) below target/sdk.
#
#     sdk/test.sh DAEMON FAKE [python|typescript|go ...]
set -euo pipefail
sdk=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
daemon=$(realpath "$1") fake=$(realpath "$2")
shift 2
languages=("$@")
((${#languages[@]} > 0)) || languages=(python typescript go)
place=${CARGO_TARGET_DIR:-$sdk/../target}/sdk
mkdir -p "$place"
place=$(realpath "$place")

table() {
  printf '\n%s\n' "$1"
  python3 -B "$sdk/tests/run.py" --daemon "$daemon" --fake "$fake" --driver "$2"
}

of_python() {
  local python=$place/venv/bin/python
  [ -x "$python" ] || python3 -m venv "$place/venv"
  "$python" -m pip install -q --disable-pip-version-check "$sdk/python" pytest==9.2.0 mypy==2.4.1 pyright==1.1.414 ruff==0.17.6
  (
    cd "$sdk/python"
    "$python" -B generate.py --check
    "$python" -B derive_sync.py --check
    "$python" -B -m pytest -q -p no:cacheprovider
    "$python" -m mypy --cache-dir "$place/mypy"
    "$python" -m pyright --pythonpath "$python"
    "$python" -m ruff check --no-cache .
    "$python" -B run_examples.py --daemon "$daemon"
  )
  table "Python" "$python -B $sdk/python/driver.py"
  table "Python, asynchronous" "$python -B $sdk/python/driver_async.py"
}

of_typescript() {
  (
    cd "$sdk/typescript"
    npm ci --silent --no-audit --no-fund
    npm test --silent
    npm run --silent check
  )
  table "TypeScript" "node $sdk/typescript/driver.mjs"
}

of_go() {
  if ! command -v go >/dev/null; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
      echo "Go is missing: install golang-go (1.19 or later) and run this again" >&2
      return 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go >/dev/null
  fi
  (
    cd "$sdk/go"
    local unformatted
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || {
      echo "gofmt would change: $unformatted" >&2
      return 1
    }
    go vet ./...
    go run ./internal/generate -specs ../../src/http -out . -check
    go test ./...
    go build -o "$place/go-driver" ./driver
  )
  table "Go" "$place/go-driver"
}

for language in "${languages[@]}"; do
  "of_$language"
done
