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
root=$(mktemp -d /var/tmp/mcpvisor-deb-XXXXXX) notes=$(mktemp -d)
trap 'drop_root "$root"; rm -rf "$notes"' EXIT

if [[ $(cat /etc/debian_version) == 12.* && -z ${FRESH:-} ]] && command -v node npx systemd-analyze setpriv man jq >/dev/null; then
  say "a root of its own over this Debian $(cat /etc/debian_version) (FRESH=1 for one of debootstrap)"
  overlay "$root"
else
  say "a root of Debian 12, by debootstrap"
  bootstrap "$root" ca-certificates,nodejs,npm,python3-venv,jq,man-db,systemd,procps
fi
# uv comes from PyPI, for a server of which it is needed.
inside "$root" sh -c '/usr/bin/python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet uv==0.13.9 && ln -sf /opt/uv/bin/uv /opt/uv/bin/uvx /usr/local/bin/'
trust "$root"
mkdir -p "$root/packages" && cp "$deb" "$root/packages/mcpvisor.deb"
cp deploy/package/inside-deb.sh "$root/packages/"

# What dpkg, man and their like write for themselves, and who is known by which number.
own='^(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock|etc/ld\.so\.cache|var/(lib/(dpkg|apt|systemd)|log|cache/(man|ldconfig|debconf|apt))/.*|tmp/.*|packages/.*|root/.*|opt/uv/.*|run/.*)$'
files() {
  if [[ -d $root.own/changes ]]; then cd "$root.own/changes"; else cd "$root"; fi
  find . -path ./proc -prune -o -path ./dev -prune -o -path ./sys -prune -o ! -type d -printf '%P\n' | grep -vE "$own" | sort
}
(files) >"$notes/before"
say "install, run, call, upgrade"
inside "$root" bash /packages/inside-deb.sh installed
say "remove and purge"
inside "$root" bash /packages/inside-deb.sh purged
(files) >"$notes/after"
if ! diff "$notes/before" "$notes/after"; then
  say "FAILED: the purge left what is marked"
  exit 1
fi
say "passed: $(basename "$deb")"
