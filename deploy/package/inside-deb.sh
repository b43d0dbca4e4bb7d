#!/usr/bin/env bash
# What deb-test.sh does inside of the root.
set -euo pipefail
unit=/usr/lib/systemd/system/mcpvisor.service
check() { printf '  %-62s' "$1"; shift; if "$@" >/packages/said 2>&1; then echo ok; else echo FAILED; cat /packages/said; tail -n 20 /packages/log; exit 1; fi; }
of_unit() { sed -n "s/^$1=//p" "$unit"; }

# The port is another one, since a root shares this machine's, where 5000 may be taken.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# Starts the service as the unit says: its user, its environment and nothing else, its directories, its command.
start() {
  local environment=()
  mapfile -t environment < <(of_unit Environment)
  install -d -m "$(of_unit StateDirectoryMode)" -o mcpvisor -g mcpvisor "/var/lib/$(of_unit StateDirectory)"
  install -d -m "$(of_unit CacheDirectoryMode)" -o mcpvisor -g mcpvisor "/var/cache/$(of_unit CacheDirectory)"
  (cd / && exec setpriv --reuid=mcpvisor --regid=mcpvisor --init-groups --no-new-privs \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LANG=C.UTF-8 LOGNAME=mcpvisor USER=mcpvisor SHELL=/usr/sbin/nologin MCPVISOR_PORT="$port" "${environment[@]}" \
    $(of_unit ExecStart) >/packages/log 2>&1) &
  daemon=$!
  for _ in $(seq 200); do
    [[ -S /var/lib/mcpvisor/mcpvisor.sock ]] && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  cat /packages/log
  return 1
}

as_service() {
  setpriv --reuid=mcpvisor --regid=mcpvisor --init-groups \
    env -i PATH=/usr/bin:/bin HOME=/var/cache/mcpvisor MCPVISOR_SOCKET=/var/lib/mcpvisor/mcpvisor.sock "$@"
}

stop() { kill -TERM "$daemon" && wait "$daemon"; }

equal() { [[ $1 == "$2" ]] || { echo "'$1' instead of '$2'"; return 1; }; }

installed() {
  check "dpkg installs it" dpkg --install /packages/mcpvisor.deb
  check "nothing is missing that it depends on" apt-get check
  check "the user is a system user without a shell" sh -c 'id mcpvisor && getent passwd mcpvisor | grep -q "nologin$" && [ "$(id -u mcpvisor)" -lt 1000 ]'
  check "data is for the service alone" equal "$(stat -c '%a %U' /var/lib/mcpvisor)" "700 mcpvisor"
  check "both programs run" sh -c 'mcpvisor --version && mcp-server --version'
  check "man finds its pages" sh -c 'man -w mcpvisor && man -w mcpvisor-keys-create && man mcpvisor-call | grep -q "mcpvisor-call"'
  check "bash completes" bash -c '. /usr/share/bash-completion/completions/mcpvisor; COMP_WORDS=(mcpvisor sta); COMP_CWORD=1; _mcpvisor mcpvisor sta mcpvisor; [[ " ${COMPREPLY[*]} " == *" status "* ]]'
  check "documents are there" test -s /usr/share/doc/mcpvisor/copyright -a -s /usr/share/doc/mcpvisor/docs/SUMMARY.md
  check "systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') finds nothing wrong with the unit" sh -c "! systemd-analyze verify --man=no $unit 2>&1 | grep -i mcpvisor"
  check "its configuration is valid" as_service MCPVISOR_DATA_DIR=/var/lib/mcpvisor mcpvisor serve --config /etc/mcpvisor/mcpvisor.toml --check
  check "the service starts as its unit says" start
  check "it runs as its user" equal "$(stat -c %U "/proc/$daemon")" mcpvisor
  check "an npx and a uvx server are added" as_service sh -c \
    'mcpvisor add --no-wait npx:@modelcontextprotocol/server-memory@2026.7.4 && mcpvisor add --no-wait uvx:mcp-server-time@2026.10.19'
  check "both are fetched and come up" as_service mcpvisor wait memory time --timeout 9m
  check "the npx server answers" as_service mcpvisor call memory.read_graph
  check "the uvx server tells the time" as_service mcpvisor call time.get_current_time timezone=UTC
  check "root sees its status at the socket" mcpvisor status --socket /var/lib/mcpvisor/mcpvisor.sock
  check "downloads are in the cache" sh -c 'test -d /var/cache/mcpvisor/.npm -a -d /var/cache/mcpvisor/.cache/uv'
  check "it stops in order" stop
  check "no process of it is left" sh -c '! pgrep -u mcpvisor'
  printf '\n# mine\n' >>/etc/mcpvisor/mcpvisor.toml
  check "an upgrade goes through" dpkg --install --force-confold /packages/mcpvisor.deb
  check "the changed configuration is kept" grep -q '^# mine' /etc/mcpvisor/mcpvisor.toml
  check "and the servers, which come up again" start
  check "both are ready" as_service mcpvisor wait memory time --timeout 2m
  check "it stops in order again" stop
}

purged() {
  check "removing it" dpkg --remove mcpvisor
  check "settings and data stay" test -s /etc/mcpvisor/mcpvisor.toml -a -d /var/lib/mcpvisor/store
  check "programs and unit are gone" sh -c "! test -e /usr/bin/mcpvisor && ! test -e $unit"
  check "purging it" dpkg --purge mcpvisor
  check "settings, data and cache are gone" sh -c '! ls -d /etc/mcpvisor /var/lib/mcpvisor /var/cache/mcpvisor'
  check "dpkg knows it no more" sh -c '! dpkg -s mcpvisor'
  check "the user stays, and nothing of it runs" sh -c 'id mcpvisor && ! pgrep -u mcpvisor'
}

"$1"
