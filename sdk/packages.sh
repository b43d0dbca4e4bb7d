#!/usr/bin/env bash
# The clients as their users have them: packed, and installed into projects and environments that have nothing else. What each README
# says first is run there against a real daemon, and so is every program in examples/.
#
#     sdk/packages.sh DAEMON [python|typescript|go ...]
set -euo pipefail
# shellcheck source=sdk/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
daemon=$(realpath "$1")
shift
languages_of "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The wheel is built of the sdist, which thereby has what that takes. Each is installed into an environment of its own, where all
# that the README says is run, and where a program of a user's passes strict mypy.
of_python() {
  need_from_pypi build==1.6.1 mypy==2.4.1
  "$python" -m build --outdir "$work/dist" "$sdk/python" >"$work/build.log" 2>&1 || {
    cat "$work/build.log" >&2
    return 1
  }
  mkdir "$work/empty"
  printf '%s\n' 'from mcpvisor import Client' 'number: int = Client().invoke("demo", "add", into=int).result' >"$work/empty/user.py"
  local file fresh
  for file in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
    fresh=$work/$(basename "$file").venv
    python3 -m venv "$fresh"
    "$fresh/bin/python" -m pip install -q --disable-pip-version-check "$file"
    printf '\nPython, %s\n' "$(basename "$file")"
    (
      cd "$work/empty"
      "$fresh/bin/python" -B "$sdk/python/run_examples.py" --daemon "$daemon" --installed
      "$python" -m mypy --strict --cache-dir "$work/mypy" --python-executable "$fresh/bin/python" user.py
    )
  done
}

# As ES module and as CommonJS, and read by `tsc --strict`.
of_typescript() {
  need_from_npm
  printf '\nTypeScript, the tarball\n'
  (cd "$sdk/typescript" && npm run --silent check:package -- --daemon "$daemon")
}

# By a `replace`, with the oldest Go and with the newest.
of_go() {
  need_go
  need_newest_go
  local path
  for path in "$(dirname "$(command -v go)")" "$newest_go_path"; do
    printf '\nGo, the module by a replace, %s\n' "$("$path/go" version)"
    PATH=$path:$PATH python3 -B "$sdk/go/run_examples.py" --daemon "$daemon"
  done
}

for language in "${languages[@]}"; do
  "of_$language"
done
