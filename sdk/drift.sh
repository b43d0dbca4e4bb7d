#!/usr/bin/env bash
# Are the clients' types what the daemon's OpenAPI documents say? Names each file that is not, and fails then. Writes nothing but
# what it installs; some seconds, or ten where npm has to install the generator of TypeScript first.
#
#     sdk/drift.sh [python|typescript|go ...]
set -euo pipefail
# shellcheck source=sdk/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
languages_of "$@"

# The generators of Python need nothing but Python.
of_python() {
  local stale=0
  python3 -B "$sdk/python/generate.py" --check || stale=1
  python3 -B "$sdk/python/derive_sync.py" --check || stale=1
  return $stale
}

of_typescript() {
  need_from_npm && node "$sdk/typescript/scripts/generate.mjs" --check
}

of_go() {
  need_go && (cd "$sdk/go" && go run ./internal/generate -specs ../../src/http -out . -check)
}

stale=()
for language in "${languages[@]}"; do
  if "of_$language"; then
    echo "ok   $language: the types are those of the OpenAPI documents"
  else
    echo "FAIL $language" >&2
    stale+=("$language")
  fi
done
((${#stale[@]} == 0)) || {
  echo "stale: ${stale[*]}; \`make sdk\` writes them anew" >&2
  exit 1
}
