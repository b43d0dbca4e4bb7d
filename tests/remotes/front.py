"""The daemon in front of one remote server, for checks that wait for that server themselves."""

import time
from pathlib import Path

from daemon import ADDRESS, START_S, Broken, Daemon


class Front(Daemon):
    """The daemon in front of one server, which is called `r`. Here it is the checks that wait for that."""

    def _wait_until_ready(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise Broken(f"the daemon ended with {self._process.returncode}{self._tail()}")
            if (found := ADDRESS.search(self.log.read_text(errors="replace"))) and self._key_file().exists():
                self.url = found[0]
                return
            time.sleep(0.05)
        raise Broken(f"the daemon does not say where it listens{self._tail()}")

    def _key_file(self):
        return Path(self._folder.name) / "data/owner.key"

    def key(self):
        return self._key_file().read_text().strip()

    @property
    def pid(self):
        return self._process.pid

    def stop(self):
        """Stops it before its `with` is over. Raises Broken where it does not end in order."""
        code = self._end()
        if code != 0:
            raise Broken(f"the daemon ended with {code} when it was told to stop{self._tail()}")

    def __exit__(self, kind, *more):
        # It may have been stopped, or what was wrong may be its end: then that is told already.
        if self._process.poll() is None:
            super().__exit__(kind, *more)
        else:
            self._folder.cleanup()
