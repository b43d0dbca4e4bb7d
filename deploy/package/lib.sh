# What the scripts that make packages share. Sourced.
target=${CARGO_TARGET_DIR:-target}
# Another profile makes a package sooner, to try one; what is given to others is `dist`.
profile=${PROFILE:-dist}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
built=$target/$profile
[[ $profile != dev ]] || built=$target/debug
staged=$target/package

# Both programs; BUILT=1 takes those that are there.
build() { [[ -n ${BUILT:-} ]] || cargo build --locked --profile "$profile" --bin mcpvisor --bin mcp-server; }

# The programs, and everything in packages that is made of it.
stage() {
  build
  rm -rf "$staged"
  mkdir -p "$staged/man" "$staged/completions"
  "$built/mcpvisor" man --dir "$staged/man" >/dev/null
  gzip -9n "$staged"/man/*.1
  "$built/mcpvisor" completions bash >"$staged/completions/mcpvisor"
  "$built/mcpvisor" completions zsh >"$staged/completions/_mcpvisor"
  "$built/mcpvisor" completions fish >"$staged/completions/mcpvisor.fish"
  # Packages install into /usr/bin; what is copied by hand belongs into /usr/local.
  sed 's|/usr/local/bin/|/usr/bin/|' deploy/mcpvisor.service >"$staged/mcpvisor.service"
}

# The pinned cargo-deb, installed once beside the user's own cargo tools and not among them.
cargo_deb() {
  local pinned=3.8.0 tools
  tools=${CARGO_HOME:-$HOME/.cargo}/tools/cargo-deb-$pinned
  if [[ ! -x $tools/bin/cargo-deb ]]; then
    echo "installing cargo-deb $pinned into $tools (minutes, once)" >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
      cargo install cargo-deb --version "$pinned" --locked --quiet --root "$tools" >&2
  fi
  "$tools/bin/cargo-deb" "$@"
}

# Writes the Debian package, and its path to stdout.
debian_package() {
  local quick=()
  # What is only to be tried is packed sooner, and larger.
  [[ $profile == dist ]] || quick=(--fast)
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) cargo_deb --no-build --locked --profile "$profile" --quiet "${quick[@]}" --output "$target/debian/"
  ls -1t "$target"/debian/mcpvisor_*.deb | head -n 1
}
