#!/usr/bin/env bash
# Installs the reverse proxies of Debian that tests/gateway/proxies.rs runs, none of them as a service: nothing of
# them is running or will start by itself because of this. Only root on Debian or Ubuntu gets them; elsewhere
# it says what is missing, and those tests say that they were skipped.
set -euo pipefail

# Package and program are called the same.
proxies=(nginx haproxy caddy apache2)
policy=/usr/sbin/policy-rc.d

missing=()
for name in "${proxies[@]}"; do
  # They stand in sbin, which a user's PATH need not have.
  PATH="$PATH:/usr/sbin:/usr/bin" command -v "$name" >/dev/null || missing+=("$name")
done
((${#missing[@]} > 0)) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
  echo "MISSING: ${missing[*]}: tests of reverse proxies will be skipped (root on Debian or Ubuntu gets them installed)" >&2
  exit 0
fi

# What the packages' scripts ask before they start a service. Whoever has such a script has reasons, and keeps it.
own_policy=
cleanup() {
  [[ -z $own_policy ]] || rm -f "$policy"
}
trap cleanup EXIT
if [[ ! -e $policy ]]; then
  own_policy=1
  printf '#!/bin/sh\n# tests/real/proxies.sh: start nothing while it installs.\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

echo "tests/real: installing ${missing[*]}, not as services"
log=$(mktemp)
apt-get update -qq >"$log" 2>&1 || true
for name in "${missing[@]}"; do
  # One by one: an older release may lack one of them.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$name" >"$log" 2>&1 || {
    cat "$log" >&2
    echo "MISSING: $name could not be installed: its tests will be skipped" >&2
    continue
  }
  # Not at the next start of the machine either.
  if command -v systemctl >/dev/null; then
    systemctl disable --quiet "$name" >/dev/null 2>&1 || true
  fi
  # Where another policy let the service start.
  if [[ -z $own_policy ]] && pgrep -x "$name" >/dev/null; then
    service "$name" stop >/dev/null 2>&1 || true
  fi
done
rm -f "$log"
