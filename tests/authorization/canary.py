"""Looks for what nobody but the daemon may see in all that others can: its logs, what `mcpvisor login`
prints, pages, answers, exports, backups, and what lies on its disk."""

import json
import threading
from collections import Counter
from urllib.parse import quote_plus

from checks import require

# Without one of each nothing was looked for.
KINDS = [
    "access_token", "refresh_token", "code", "code_verifier",
    "authorization", "client_secret", "client_assertion", "private_key",
]  # fmt: skip
# Of a whole site, in its own folder and the data directory.
FILES = ["daemon-*.log", "login-*.log", "answers", "page.html", "backup", "backup.log"]


class Canary:
    """One for all checks, several of which may come at once."""

    def __init__(self):
        self._lock = threading.Lock()
        # By kind: how many secrets were looked for.
        self.kinds = Counter()
        self.files = self.bytes = 0
        self.found = []

    def look_at(self, site, known):
        """Looks through all files of a site for the secrets of its authorization servers, and known ones."""
        secrets = {*known, *((line["kind"], line["value"]) for line in self._kept(site))}
        written = "\n".join(value for _, value in secrets).encode()
        with self._lock:
            self.kinds.update(kind for kind, _ in secrets)
            # What is looked for would be found.
            seen = len(list(_found(secrets, written)))
            require(seen == len(secrets), f"of {len(secrets)} secrets {seen} are found where they all are")
            for file in self._files(site):
                text = file.read_bytes()
                self.files += 1
                self.bytes += len(text)
                self.found += [f"{kind} in {site.folder.name}: {file.name}" for kind in _found(secrets, text)]

    def judge(self, whole):
        """Raises Wrong where something was found, or not enough was looked for: of a whole run each kind."""
        require(not self.found, f"{len(self.found)} times: {', '.join(sorted(set(self.found))[:5])}")
        missing = [kind for kind in KINDS if not self.kinds[kind]]
        require(not (whole and missing), f"there was no {', '.join(missing)} to look for")
        require(self.files and self.bytes, "there was nothing to look through")

    def _kept(self, site):
        return [json.loads(line) for a in site.authorities for line in a.secrets.read_text().splitlines()]

    def _files(self, site):
        yield from (file for pattern in FILES for file in site.folder.glob(pattern))
        yield from (file for file in (site.daemon.folder / "data").rglob("*") if file.is_file())


def _found(secrets, text):
    """The kinds of those secrets that are in a text, as they are or as a form has them."""
    for kind, value in secrets:
        if value.encode() in text or quote_plus(value).encode() in text:
            yield kind
