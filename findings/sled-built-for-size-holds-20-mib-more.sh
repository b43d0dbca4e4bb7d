#!/usr/bin/env bash
# sled 0.34.7: an open, empty database holds some 20 MiB more memory when the crate is compiled for size.
#
# At open, sled makes the histograms of its own timings, some forty, each with 65,536 counters that are set to zero one by
# one (`src/histogram.rs`). Optimized for speed, the compiler makes one request for memory that is zero already of that,
# which costs nothing until it is used. With `opt-level = "s"` the zeros are written, so all of it is resident. A profile
# that compiles what is off the hot path for size, to get a small binary, makes each process larger by far more than
# what the binary lost, and nothing in the program or its results shows why.
#
# Needs: cargo with Rust 1.85 or later, the network, Linux (/proc/self/status). Takes about a minute.
set -euo pipefail

VERSION=0.34.7
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "resident"
version = "0.1.0"
edition = "2021"

[dependencies]
sled = "=$VERSION"

[profile.release]
opt-level = 3

[profile.small]
inherits = "release"

[profile.small.package.sled]
opt-level = "s"
TOML
cat >src/main.rs <<'RUST'
fn main() {
    let directory = std::env::args().nth(1).expect("a directory");
    let database = sled::open(directory).expect("opens");
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    println!("{}", line.split_whitespace().nth(1).expect("a number"));
    assert!(database.is_empty());
}
RUST

export CARGO_TARGET_DIR="$place/target"
kib() {
  cargo build --quiet --profile "$1"
  "target/$1/resident" "$place/data-$1"
}
fast=$(kib release)
small=$(kib small)
echo "sled $VERSION: an empty database, anonymous memory: $fast KiB with opt-level 3, $small KiB with opt-level s"
if ((fast < 6000 && small > fast + 15000)); then
  echo "as found: compiled for size it holds $(((small - fast) / 1024)) MiB more"
else
  echo "this has changed" >&2
  exit 1
fi
