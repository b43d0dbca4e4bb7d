"""Debian's Prometheus, with the shipped rules and scrape, in a sixtieth of their time."""

import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from daemons import Untried

SCALE = 60
START_S = 60
LENGTH = re.compile(r"(?<=\[)(\d+)([smh])(?=\])|(?<=for: )(\d+)([smh])\b")
SECONDS = {"s": 1, "m": 60, "h": 3600}
# A range needs some scrapes in it, on a machine with other work, too.
MIN_RANGE_S = 10


def scaled(rules):
    """The rules with all lengths of time a sixtieth."""

    def shorter(found):
        is_range = found[1] is not None
        number, unit = (found[1], found[2]) if is_range else (found[3], found[4])
        seconds = max(int(number) * SECONDS[unit] // SCALE, MIN_RANGE_S if is_range else 1)
        return f"{seconds}s"

    return LENGTH.sub(shorter, rules).replace("flush_age_seconds > 60", "flush_age_seconds > 5")


class Prometheus:
    """Prometheus for the time of a `with`."""

    def __init__(self, folder, shipped, key):
        if not (shutil.which("prometheus") and shutil.which("promtool")):
            raise Untried("prometheus and promtool are missing: `apt-get install --no-install-recommends prometheus`")
        self.folder = folder / "prometheus"
        self.folder.mkdir()
        check("promtool", "check", "rules", shipped / "alerts.yml")
        rules = scaled((shipped / "alerts.yml").read_text())
        (self.folder / "alerts.yml").write_text(rules)
        (self.folder / "key").write_text(key)
        self._targets, self._others = self.folder / "targets.json", self.folder / "others.json"
        self._daemons = []
        self._write_targets()
        # The shipped scrape but for its place: which daemons there are changes.
        config = (shipped / "prometheus.yml").read_text()
        for was, becomes in (
            ('static_configs:\n      - targets: ["127.0.0.1:5000"]', f'file_sd_configs:\n      - files: ["{self._targets}"]\n        refresh_interval: 1s'),
            ("/etc/prometheus/mcpvisor.key", str(self.folder / "key")),
            ("scrape_interval: 15s", "scrape_interval: 2s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ):
            if was not in config:
                raise Untried(f"deploy/prometheus/prometheus.yml has no {was!r} any more: mend {__file__}")
            config = config.replace(was, becomes)
        # The other daemons do not know that key. Prometheus runs as the same user as they do, so it needs none.
        config += f'  - job_name: others\n    file_sd_configs:\n      - files: ["{self._others}"]\n        refresh_interval: 1s\n'
        (self.folder / "prometheus.yml").write_text(config)
        check("promtool", "check", "config", self.folder / "prometheus.yml")
        self.port = free_port()

    def __enter__(self):
        command = ["prometheus", f"--config.file={self.folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                self.ask("vector(1)")
                return self
            except OSError:
                # It answers 503 while it reads what it has kept.
                time.sleep(0.1)
        self.__exit__()
        raise Untried(f"Prometheus does not serve; it said:\n{(self.folder / 'log').read_text()[-2000:]}")

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def scrape(self, daemon):
        self._daemons.append(daemon)
        self._write_targets()

    def scrape_no_more(self, daemon):
        self._daemons.remove(daemon)
        self._write_targets()

    def _write_targets(self):
        for path, daemons in ((self._targets, self._daemons[:1]), (self._others, self._daemons[1:])):
            new = path.with_suffix(".new")
            addresses = [f"127.0.0.1:{daemon.port}" for daemon in daemons]
            new.write_text(json.dumps([{"targets": addresses, "labels": {"job": "mcpvisor"}}]))
            # Prometheus looks at what ends in .json.
            new.rename(path)

    def check_metrics(self, text):
        """promtool finds nothing to say against the metrics."""
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if done.returncode != 0 or said.strip():
            raise Untried(f"promtool check metrics: {said}")

    def ask(self, query):
        """Evaluates a query: its series."""
        return self._get("query", query=query)["result"]

    def alerts(self):
        """What fires now: the alerts, each with the server or the dialect that it is about."""
        firing = [alert["labels"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]
        return {(one["alertname"], one.get("server") or one.get("dialect") or "") for one in firing}

    def rules(self):
        groups = self._get("rules")["groups"]
        broken = [rule["lastError"] for group in groups for rule in group["rules"] if rule["health"] == "err"]
        if broken:
            raise Untried(f"rules that cannot be evaluated: {broken}")
        return {rule["name"] for group in groups for rule in group["rules"]}

    def _get(self, what, **asked):
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise OSError("Prometheus is not ready") from error
            raise ValueError(f"{asked}: {error.read().decode()}") from error


class Watcher:
    """Looks at the alerts all the time, so that one that fires for a second is heard as well."""

    def __init__(self, prometheus):
        self._prometheus, self._over, self._lock = prometheus, threading.Event(), threading.Lock()
        self._now, self._heard, self._ever = set(), set(), set()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.3):
            try:
                now = self._prometheus.alerts()
            except OSError:
                continue
            with self._lock:
                self._now = now
                self._heard |= now
                self._ever |= {name for name, _ in now}

    def now(self):
        with self._lock:
            return set(self._now)

    def ever(self):
        with self._lock:
            return set(self._ever)

    def heard(self):
        """What has fired since this was asked last."""
        with self._lock:
            heard, self._heard = self._heard, set()
            return heard

    def wait_for(self, expected, patience):
        """Waits until all of these have fired: those that have not."""
        return self._wait(lambda: set(expected) - self._heard, patience)

    def wait_for_silence(self, patience):
        return self._wait(lambda: set(self._now), patience)

    def _wait(self, left, patience):
        end = time.monotonic() + patience
        while True:
            with self._lock:
                rest = left()
            if not rest or time.monotonic() > end:
                return rest
            time.sleep(0.2)


def check(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Untried(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
