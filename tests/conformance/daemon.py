"""A mcpvisor of one's own: started with some servers, asked until they are ready, ended in order."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
START_S = 30
# Longer than the daemon's own patience with calls that are under way.
STOP_S = 40


class Broken(Exception):
    """What was to be tried could not be; the text says why."""


class Daemon:
    """The daemon, for the time of a `with`. What it prints goes to the log."""

    def __init__(self, program, servers, log, config="", environment=None):
        self.program = program.resolve()
        self.servers = servers
        self.log = log
        # The text of its configuration file.
        self.config = config
        # What it has beside the environment of whoever runs this.
        self.environment = environment or {}
        self.url = None

    def __enter__(self):
        if not os.access(self.program, os.X_OK):
            raise Broken(f"{self.program} is no program")
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-daemon-")
        try:
            self._process = self._start(Path(self._folder.name))
        except BaseException:
            self._folder.cleanup()
            raise
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, *_):
        code = self._end()
        # Where something else went wrong already, that is what has to be told.
        if code != 0 and kind is None:
            raise Broken(f"the daemon ended with {code} when it was told to stop{self._tail()}")

    @property
    def owner_key(self):
        """The key that it has made for its owner, which /v1 wants."""
        return (Path(self._folder.name) / "data/owner.key").read_text().strip()

    def _start(self, folder):
        file = folder / "servers.json"
        file.write_text(json.dumps({"mcpServers": self.servers}))
        config = folder / "mcpvisor.toml"
        config.write_text(self.config)
        command = [self.program, "serve", "--port", "0", "--config", config]
        command += ["--servers", file, "--data-dir", folder / "data"]
        # No setting of whoever runs this may leak in.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MCPVISOR_")}
        environment |= self.environment
        with open(self.log, "wb") as log:
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _wait_until_ready(self):
        end = time.monotonic() + START_S
        answer = "it does not say where it listens"
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise Broken(f"the daemon ended with {self._process.returncode}{self._tail()}")
            found = ADDRESS.search(self.log.read_text(errors="replace"))
            if found:
                self.url = found[0]
                status, answer = readiness(int(found[1]))
                if status == "ready":
                    return
            time.sleep(0.05)
        raise Broken(f"the daemon is not ready after {START_S} s: {answer}{self._tail()}")

    def _end(self):
        """Asks it to stop, and makes it after a while: its exit code."""
        try:
            self._process.send_signal(signal.SIGTERM)
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._folder.cleanup()

    def _tail(self):
        return "; it said:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def readiness(port):
    """What /readyz says: its status, and all of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        text = connection.getresponse().read().decode()
        return json.loads(text).get("status"), text
    except (OSError, ValueError, http.client.HTTPException) as error:
        return None, repr(error)
    finally:
        connection.close()
