#!/usr/bin/env bash
# `make deb`: the Debian package, in target/debian/. PROFILE=release builds sooner, to try one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/package/lib.sh
rm -f "$target"/debian/mcpvisor_*.deb
stage
debian_package
