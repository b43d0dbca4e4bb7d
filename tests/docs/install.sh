#!/usr/bin/env bash
# What the documents' commands call and a bare machine may lack: jq and curl of Debian, uvx of PyPI (into target/docs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
missing=()
for program in jq curl; do command -v "$program" >/dev/null || missing+=("$program"); done
if ((${#missing[@]} > 0)); then
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "install ${missing[*]} and run this again" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
tools=target/docs/tools
if [ ! -x "$tools/bin/uvx" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet uv==0.13.9
  # A venv's `python3` first on the PATH would be found by whatever else runs there.
  find "$tools/bin" -not -name 'uv*' \( -type f -o -type l \) -delete
fi
