#!/usr/bin/env bash
# What the clients cost: CPU time of a call with each client against one with the bare HTTP library of its language, in the same run and
# in turns, before a small server in another process that answers all calls alike. Fails where a client takes more than a tenth on
# top. A minute or two for each language, with the machine left alone.
#
#     sdk/overhead.sh [python|typescript|go ...]        ROUNDS=15 CALLS=1000
set -euo pipefail
# shellcheck source=sdk/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
languages_of "$@"
how_often=("${ROUNDS:-15}" "${CALLS:-1000}")

of_python() {
  need_from_pypi "$sdk/python" && "$python" -B "$sdk/python/overhead.py" "$address" "${how_often[@]}"
}

of_typescript() {
  need_from_npm && (cd "$sdk/typescript" && npm run --silent build && node scripts/overhead.mjs "$address" "${how_often[@]}")
}

of_go() {
  need_go && need_newest_go || return
  local path failed=0
  for path in "$(dirname "$(command -v go)")" "$newest_go_path"; do
    (cd "$sdk/go" && "$path/go" build -o "$place/go-overhead" ./internal/overhead) && "$place/go-overhead" "$address" "${how_often[@]}" || failed=1
  done
  return $failed
}

# It ends with its input, which is this script's end of a pipe.
coproc server { python3 -B "$sdk/overhead_server.py"; }
read -r address <&"${server[0]}"

slow=()
for language in "${languages[@]}"; do
  "of_$language" || slow+=("$language")
done
((${#slow[@]} == 0)) || {
  echo "a call costs too much, or could not be measured: ${slow[*]}" >&2
  exit 1
}
