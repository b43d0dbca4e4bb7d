#!/usr/bin/env bash
# Installs the collector that others wrote, OpenTelemetry's SDK and the MCP SDK that run.py needs, into a virtual environment in
# this directory, exactly as requirements.txt pins them, each package checked against its recorded hashes. A stamp records what
# was installed, so a second run does nothing.
#
# To move to newer versions: edit requirements.in, then
#   uv pip compile --universal --generate-hashes --python-version 3.11 --no-annotate \
#     --no-header requirements.in -o requirements.txt   # and its two lines of head
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

wanted=$({ pwd -P; sha256sum -- install.sh requirements.txt; } | sha256sum | cut -d' ' -f1)
exec 9>.stamp-lock
flock 9
if [[ -f .stamp && $(<.stamp) == "$wanted" && -x venv/bin/python ]]; then
  exit 0
fi
rm -rf venv .stamp
python3 -m venv venv
echo "installing a collector and two SDKs into tests/traces"
venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
echo "$wanted" >.stamp
