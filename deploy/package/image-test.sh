#!/usr/bin/env bash
# `make image-test`: where Docker runs, builds the image; else runs the RUN lines of the Dockerfile's last stage in a fresh root of Debian 12 and puts into it what
# the first stage builds (here, of the same profile). Then the daemon runs there as PID 1 of its processes, as USER, ENV and CMD say: an npx and a uvx
# server are called, orphans are reaped, SIGTERM stops it in order. PROFILE=release builds sooner.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/package/lib.sh
. deploy/package/root.sh

if docker info >/dev/null 2>&1 && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
  say "Docker is here: building the image"
  docker build --tag mcpvisor:test .
fi

need_root
root=$(mktemp -d /var/tmp/mcpvisor-image-XXXXXX)
init=
finish() {
  [[ -z $init ]] || kill -KILL "$init" 2>/dev/null || true
  drop_root "$root"
}
trap finish EXIT

say "the first stage, here: cargo build --profile $profile"
build

# The last stage, a line an instruction.
last_stage() { sed -e ':join' -e '/\\$/{N;s/\\\n//;b join}' Dockerfile | awk '/^FROM/ { stage = "" } { stage = stage $0 "\n" } END { printf "%s", stage }'; }
instruction() { last_stage | sed -n "s/^$1 //p"; }

say "the last stage, in a root of Debian 12"
bootstrap "$root" ca-certificates
authorities=$(cat "$root/etc/ssl/certs/ca-certificates.crt")
while IFS= read -r line; do
  say "RUN ${line:0:90}"
  inside "$root" sh -ec "$line" >"$root/said" 2>&1 || { tail -n 20 "$root/said"; exit 1; }
done < <(instruction RUN)
rm -f "$root/said"
# This machine's authorities, and its npm's and uv's knowledge of them; a machine elsewhere has Debian's.
printf '%s' "$authorities" >"$root/etc/ssl/certs/ca-certificates.crt"
trust "$root"
for program in mcpvisor mcp-server; do install -m 755 "$built/$program" "$root/usr/local/bin/"; done

mapfile -t environment < <(instruction ENV | tr ' ' '\n')
user=$(instruction USER)
mapfile -t command < <(instruction CMD | tr -d '[],"' | tr ' ' '\n')
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
check() { printf '  %-66s' "$1"; shift; if "$@" >"$root/said" 2>&1; then echo ok; else echo FAILED; cat "$root/said" "$root/log"; exit 1; fi; }

say "USER $user CMD ${command[*]}"
# As a container has it: PID 1 of a namespace, no shell before it. Its own group is what Ctrl-C would go to.
setsid unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
  sh -c 'mount --rbind /dev "$0/dev" && exec "$@"' "$root" \
  chroot --userspec="$user" "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" \
  "${environment[@]}" MCPVISOR_PORT="$port" sh -c 'cd /var/lib/mcpvisor && exec "$@"' sh "${command[@]}" >"$root/log" 2>&1 &
init=$!
for _ in $(seq 300); do [[ -S $root/var/lib/mcpvisor/mcpvisor.sock ]] && break; sleep 0.1; done
daemon=$(pgrep -P "$init" | head -n 1)
exec_in() { nsenter --target "$daemon" --mount --pid chroot --userspec="$user" "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin "${environment[@]}" "$@"; }

check "it is PID 1, and not root" sh -c "test \"\$(awk '/^NSpid:/ {print \$NF}' /proc/$daemon/status)\" = 1 && test \"\$(stat -c %u /proc/$daemon)\" = 10001"
check "its health check is content" exec_in mcpvisor list -o json
check "an npx and a uvx server are added" exec_in sh -c \
  'mcpvisor add --no-wait npx:@modelcontextprotocol/server-memory@2026.7.4 && mcpvisor add --no-wait uvx:mcp-server-time@2026.10.19'
check "both are fetched and come up" exec_in mcpvisor wait memory time --timeout 9m
check "the npx server answers" exec_in mcpvisor call memory.read_graph
check "the uvx server answers" exec_in mcpvisor call time.get_current_time timezone=UTC
check "the port answers beside the namespace" curl -sf "http://127.0.0.1:$port/healthz"
check "/api wants a key of who comes by the port as somebody else" sh -c "test \"\$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:$port/api/servers)\" = 401"
# An orphan that nobody waits for: it falls to PID 1, and must not stay as a zombie.
check "a server that leaves an orphan behind comes up" exec_in mcpvisor add --name orphans -- sh -c '(setsid sh -c "sleep 1" &) ; exec mcpvisor demo-server'
none_left() { for _ in $(seq 300); do [[ $(awk '$3 == "Z"' /proc/[0-9]*/stat 2>/dev/null | awk -v p="$daemon" '$4 == p' | wc -l) == 0 ]] && ! pgrep -P "$daemon" -x sleep >/dev/null && return; sleep 0.1; done; return 1; }
check "what falls to it is reaped" none_left
kill -TERM "$daemon"
stopped() { for _ in $(seq 400); do kill -0 "$init" 2>/dev/null || return 0; sleep 0.1; done; return 1; }
check "SIGTERM stops it" stopped
code=0
wait "$init" || code=$?
init=
check "with 0, so in order" test "$code" = 0
check "nothing of its user runs" sh -c '! pgrep -u 10001'
say "passed"
