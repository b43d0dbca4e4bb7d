"""The gateway under test: the daemon as a process, and its two dialects over HTTP."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import processes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))

import mcp_http  # noqa: E402

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/v1")
MOST_LINES = 2_000


class Broken(Exception):
    """The daemon did not start, stop or answer as it has to; the text says how."""


def _record(method, path, body, answer, text):
    """Writes an answer down as `tests/support/recording.rs` does, if that is wanted."""
    folder = os.environ.get("MCPVISOR_TEST_RECORD")
    if folder:
        line = {"test": "wild", "method": method, "path": path, "asked": (body or b"").decode()}
        line |= {"status": answer.status, "headers": answer.getheaders(), "body": text}
        Path(folder).mkdir(parents=True, exist_ok=True)
        with Path(folder, "wild.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Daemon:
    """A running daemon with these servers. Whoever makes one has to call `stop` or `kill`."""

    def __init__(self, program, folder, definitions, environment, patience):
        folder = Path(folder)
        servers = folder / "servers.json"
        servers.write_text(json.dumps({"mcpServers": definitions}), encoding="utf-8")
        config = folder / "mcpvisor.toml"
        config.write_text('[http]\nsocket = "off"\n', encoding="utf-8")
        data = folder / "data"
        command = [program, "serve", "--port", "0", "--config", config, "--servers", servers, "--data-dir", data]
        self.output = []
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._listening = threading.Event()
        self._port = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(patience) or self._port is None:
            self.kill()
            raise Broken("the daemon does not say where it listens; it said:\n" + "\n".join(self.output[-20:]))
        self._key = (data / "owner.key").read_text(encoding="utf-8").strip()

    def ask(self, method, path, body=None, patience=60.0):
        """The status and the text of an answer. Raises Broken when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=patience)
        headers = {"Authorization": f"Bearer {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
            _record(method, path, body, answer, text)
            return answer.status, text
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{method} {path} was not answered: {error!r}") from error
        finally:
            connection.close()

    def endpoint(self, name, patience=60.0):
        """The MCP address of a server."""
        headers = {"Authorization": f"Bearer {self._key}"}
        return mcp_http.Endpoint(f"http://127.0.0.1:{self._port}/mcp/{name}", headers, patience)

    def settled(self, name, patience):
        """The state of a server once it does not change any more by itself, or when the patience is over."""
        end = time.monotonic() + patience
        while True:
            status, text = self.ask("GET", f"/v1/mcps/{name}")
            if status != 200:
                raise Broken(f"GET /v1/mcps/{name} is {status}: {text[:300]}")
            data = json.loads(text)["data"]
            if data["state"] in ("ready", "failed", "exited", "disabled") or time.monotonic() > end:
                return data
            time.sleep(0.1)

    def stop(self, patience):
        """Asks it by SIGTERM to stop: the exit code. Raises Broken when it does not."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Broken(f"the daemon did not stop within {patience} s of SIGTERM") from None
        self._reader.join(timeout=5.0)
        return code

    def kill(self):
        """Ends it at once, if it still runs; its servers are found by their mark."""
        if self._process.poll() is None:
            processes.send(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(timeout=5.0)

    def _read(self):
        for line in self._process.stdout:
            text = line.decode("utf-8", errors="replace").rstrip()
            if len(self.output) < MOST_LINES:
                self.output.append(text)
            found = None if self._listening.is_set() else _ADDRESS.search(text)
            if found:
                self._port = int(found[1])
                self._listening.set()
        self._listening.set()
