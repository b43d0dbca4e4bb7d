#!/usr/bin/env bash
# What the three clients promise, against a real daemon: `make test-sdk`. Takes the daemon and the scripted test server, and installs
# what it needs as tools.sh says. Go is tried twice, with the oldest one that the client takes, if it is Debian's, and the newest.
#
#     sdk/test.sh DAEMON FAKE [python|typescript|go ...]
set -euo pipefail
# shellcheck source=sdk/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
daemon=$(realpath "$1") fake=$(realpath "$2")
shift 2
languages_of "$@"

table() {
  printf '\n%s\n' "$1"
  python3 -B "$sdk/tests/run.py" --daemon "$daemon" --fake "$fake" --driver "$2"
}

of_python() {
  need_from_pypi "$sdk/python" pytest==9.2.0 mypy==2.4.1 pyright==1.1.414 ruff==0.17.6
  (
    cd "$sdk/python"
    "$python" -B -m pytest -q -p no:cacheprovider
    "$python" -m mypy --cache-dir "$place/mypy"
    "$python" -m pyright --pythonpath "$python"
    "$python" -m ruff check --no-cache .
  )
  table "Python" "$python -B $sdk/python/driver.py"
  table "Python, asynchronous" "$python -B $sdk/python/driver_async.py"
}

of_typescript() {
  need_from_npm
  (
    cd "$sdk/typescript"
    npm test --silent
    npm run --silent check
  )
  table "TypeScript" "node $sdk/typescript/driver.mjs"
}

of_go() {
  need_go
  need_staticcheck
  with_go
  (cd "$sdk/go" && STATICCHECK_CACHE=$place/staticcheck "$staticcheck" ./...)
  need_newest_go
  (PATH=$newest_go_path:$PATH with_go)
}

# All that is tried with the Go of the PATH.
with_go() {
  local version unformatted
  version=$(go env GOVERSION)
  printf '\n%s\n' "$version"
  (
    cd "$sdk/go"
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || {
      echo "gofmt would change: $unformatted" >&2
      return 1
    }
    go vet ./...
    go run ./internal/generate -specs ../../src/http -out . -check
    go test -race ./...
    go build -o "$place/go-driver-$version" ./driver
  )
  table "Go, $version" "$place/go-driver-$version"
}

"$sdk/drift.sh" "${languages[@]}"
for language in "${languages[@]}"; do
  "of_$language"
done
"$sdk/packages.sh" "$daemon" "${languages[@]}"
