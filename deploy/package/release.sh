#!/usr/bin/env bash
# `make release`: what a release has, in target/dist-files/: a tarball, the Debian package, their checksums. The same binary gives the same tarball:
# files in order, owned by root, as old as the last commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. deploy/package/lib.sh
if [[ -n $(git status --porcelain --untracked-files=no) && -z ${DIRTY:-} ]]; then
  echo "there are changes that are not committed; a release is of a commit (DIRTY=1 to try it)" >&2
  exit 1
fi
if ! grep -q "^## $version" CHANGELOG.md && [[ -z ${DIRTY:-} ]]; then
  echo "CHANGELOG.md has no section '## $version' (DIRTY=1 to try it)" >&2
  exit 1
fi
stage
out=$target/dist-files
name=mcpvisor-$version-$(uname -m)-linux
rm -rf "$out" && mkdir -p "$out/$name"
for program in mcpvisor mcp-server; do
  install -m 755 "$built/$program" "$out/$name/$program"
  strip "$out/$name/$program"
done
cp -r README.md LICENSE CHANGELOG.md SECURITY.md docs "$out/$name/"
cp -r "$staged/man" "$staged/completions" "$out/$name/"
install -m 644 -D deploy/mcpvisor.service config/mcpvisor.example.toml -t "$out/$name/deploy/"
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime="@$(git log -1 --format=%ct)" -C "$out" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
rm -rf "${out:?}/$name"
cp "$(debian_package)" "$out/"
(cd "$out" && sha256sum -- *.tar.gz *.deb >SHA256SUMS && sha256sum -c --quiet SHA256SUMS && ls -l && cat SHA256SUMS)
