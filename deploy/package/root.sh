# A fresh Debian root for the tests of packages. Sourced, as root; needs debootstrap.
base=${MCPVISOR_TEST_ROOTS:-/var/tmp/mcpvisor-roots}
mirror=http://deb.debian.org/debian

need_root() {
  ((EUID == 0)) || { echo "this makes roots and mounts: run it as root" >&2; exit 1; }
  command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
}

# Makes the root at $1, once for all, of Debian 12 and these packages beside the smallest that there is; downloads of it are kept.
bootstrap() {
  local root=$1 packages=$2 key
  key=$(printf '%s' "$packages" | sha256sum | cut -c1-12)
  if [[ ! -e $base/$key.tar ]]; then
    mkdir -p "$base"
    rm -rf "$base/$key"
    debootstrap --variant=minbase ${packages:+--include=$packages} bookworm "$base/$key" "$mirror" >"$base/$key.log" ||
      { tail -n 5 "$base/$key.log"; return 1; }
    tar -C "$base/$key" -cf "$base/$key.tar.new" . && mv "$base/$key.tar.new" "$base/$key.tar"
    rm -rf "${base:?}/$key"
  fi
  mkdir -p "$root"
  tar -C "$root" -xf "$base/$key.tar"
  # As this machine resolves names, and whom it trusts.
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  if [[ -f ${SSL_CERT_FILE:-} ]]; then
    install -D -m 644 "$SSL_CERT_FILE" "$root/etc/ssl/certs/ca-certificates.crt"
  fi
}

# Makes at $1 a root of its own out of this machine's, where that is a Debian 12 with what the test needs: what is written stays in memory, below
# $1.own/changes, and nothing of it is on this machine.
overlay() {
  local root=$1
  mkdir -p "$root" "$root.own"
  mount -t tmpfs tmpfs "$root.own"
  mkdir "$root.own/changes" "$root.own/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$root.own/changes,workdir=$root.own/work" "$root"
}

# Removes a root of either kind.
drop_root() {
  local root=$1
  umount "$root" 2>/dev/null || true
  umount "$root.own" 2>/dev/null || true
  rm -rf "${root:?}" "${root:?}.own"
}

# Has npm and uv in the root trust whom this machine trusts, which is Debian's list elsewhere: the service gives them none of our environment.
trust() {
  local root=$1
  mkdir -p "$root/usr/etc" "$root/usr/share/nodejs/npm" "$root/etc/uv"
  echo 'cafile=/etc/ssl/certs/ca-certificates.crt' | tee "$root/etc/npmrc" "$root/usr/etc/npmrc" >"$root/usr/share/nodejs/npm/npmrc"
  echo 'native-tls = true' >"$root/etc/uv/uv.toml"
}

# Runs a command in the root with processes of its own, so that none outlives it.
inside() {
  local root=$1
  shift
  unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
    sh -c 'mount --rbind /dev "$0/dev" && exec env -i "$@"' "$root" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive \
    "${settings[@]}" chroot "$root" "$@"
}

# What this machine needs to reach registries, if it does.
settings=()
for name in HTTPS_PROXY HTTP_PROXY NO_PROXY; do
  [[ -z ${!name:-} ]] || settings+=("$name=${!name}")
done

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
