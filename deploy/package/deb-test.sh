#!/usr/bin/env bash
# `make deb-test`: the Debian package in a root of its own. Installed, looked at, its service run by hand as the unit says (no systemd runs in
# a root), an npx and a uvx server called in it, upgraded over a changed configuration, removed, purged, and what is left compared with before.
# DEB=FILE tests that one and builds none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/package/lib.sh
. deploy/package/root.sh
need_root
deb=${DEB:-}
[[ -n $deb ]] || deb=$(deploy/package/deb.sh | tail -n 1)
root=$(mktemp -d /var/tmp/mcpvisor-deb-XXXXXX)
trap 'rm -rf "$root"' EXIT

say "a root of Debian 12"
bootstrap "$root" ca-certificates,nodejs,npm,python3-venv,jq,man-db,systemd,procps
# uv comes from PyPI, for a server of which it is needed.
inside "$root" sh -c 'python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet uv==0.13.9 && ln -s /opt/uv/bin/uv /opt/uv/bin/uvx /usr/local/bin/'
mkdir -p "$root/packages" && cp "$deb" "$root/packages/mcpvisor.deb"
cp deploy/package/inside-deb.sh "$root/packages/"

files() { (cd "$root" && find etc usr var opt -path var/lib/dpkg -prune -o -path var/cache -prune -o -path var/log -prune -o -print | sort); }
mkdir -p "$root/root"
files >"$root/before"
say "install, run, call, upgrade"
inside "$root" bash /packages/inside-deb.sh installed
say "remove and purge"
inside "$root" bash /packages/inside-deb.sh purged
files >"$root/after"
# man-db keeps an index of its own; passwd and group keep a copy of before the user.
if ! diff <(grep -vE '^(etc/(passwd|group|shadow|gshadow|subuid|subgid)-|var/lib/systemd|etc/\.pwd\.lock)' "$root/before") \
  <(grep -vE '^(etc/(passwd|group|shadow|gshadow|subuid|subgid)-|var/lib/systemd|etc/\.pwd\.lock)' "$root/after"); then
  say "FAILED: the purge left what is marked"
  exit 1
fi
say "passed: $(basename "$deb")"
