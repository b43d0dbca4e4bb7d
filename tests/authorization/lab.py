"""What a check is made on: an authorization server, a server that wants its tokens, and the daemon."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from browser import Browser
from callers import Rest
from canary import Canary
from checks import Bench, Wrong, require
from daemon import ADDRESS, STOP_S, Broken
from fleet import Running, Server
from front import Front

HERE = Path(__file__).resolve().parent
# The way from the beginning of a login to its end, with four pages of the authorization server in between.
LOGIN_S = 30
# How soon the authorization server is asked for what has to be asked now.
ASKED_S = 20
ALL_METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
# For a life of access tokens that no check lives to see the end of.
LONG_S = 600
# What a caller can read of a server, or of what was done with it.
READABLE = [
    "/v1/mcps", "/v1/mcps/r", "/v1/mcps/r/logs", "/v1/audit/export",
    "/api/servers", "/api/servers/r", "/metrics",
]  # fmt: skip
# By the beginning of the path: what the authorization server is asked there.
ENDPOINTS = {
    "/token": "token", "/auth": "authorize", "/interaction": "authorize", "/reg": "register",
    "/.well-known/": "metadata", "/jwks": "keys",
}  # fmt: skip
# What anybody may ask it: the server does so as well.
OPEN = ("metadata", "keys")


@dataclass
class Settings:
    """How the authorization server is set; servers/authorization.mjs says what each means."""

    life: int = LONG_S
    methods: list = field(default_factory=lambda: list(ALL_METHODS))
    refresh: str = "always"
    clients: list = field(default_factory=list)


class Authority(Running):
    """The authorization server, and its journal."""

    def __init__(self, folder, settings, resource):
        folder.mkdir(parents=True)
        self.secrets = folder / "secrets"
        self.secrets.touch()
        file = folder / "settings.json"
        file.write_text(json.dumps({**vars(settings), "resource": resource, "secrets": str(self.secrets)}))
        script = str(HERE / "servers/authorization.mjs")
        super().__init__(Server("authority", ["node", script], (f"--settings={file}",)), folder)

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self.port}"

    def gate(self, mode):
        """What is in the way of requests for a token from now on, see servers/gate.mjs."""
        self._control(f"gate?mode={mode}")

    def revoke(self):
        """Takes back all that was ever granted by a person."""
        self._control("revoke")

    def tokens(self, grant=None):
        """The requests for tokens that were answered, of one kind or all."""
        return [line for line in self.journal.lines("token") if grant in (None, line.get("grant"))]

    def events(self, name):
        return [line for line in self.journal.lines("event") if line["name"] == name]

    def trusted(self):
        """How often each of its endpoints was asked to which something is told that is a secret."""
        return Counter({endpoint: count for endpoint, count in self.counts().items() if endpoint not in OPEN})

    def counts(self):
        """How often each of its endpoints was asked, whatever it said."""
        paths = [line["path"] for line in self.journal.lines("asked")]
        return Counter(what for path in paths for root, what in ENDPOINTS.items() if path.startswith(root))

    def _control(self, what):
        with urllib.request.urlopen(f"{self.issuer}/control/{what}", timeout=10):
            pass


class Guarded(Running):
    """The server that wants tokens of one authorization server."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        super().__init__(Server("guarded", ["node", str(HERE / "servers/resource.mjs")]), folder)

    def trust(self, authority):
        """Says which one that is, from the next start on."""
        self.server = replace(self.server, arguments=(f"--issuer={authority.issuer}",))

    def refusals(self):
        """How often it took a request's token, or the lack of one, for none of its own."""
        return sum(line["status"] == 401 for line in self.journal.lines("answered"))

    def counts(self):
        """How often it was asked for MCP, and refused that, and how often for who gives out its tokens."""
        paths = [line["path"] for line in self.journal.lines("asked")]
        counts = {"requests": paths.count("/mcp"), "refused": self.refusals()}
        return counts | {"metadata": sum(path.startswith("/.well-known/") for path in paths)}


class Gateway(Front):
    """A daemon that lives several times on the same data; each life has a log of its own."""

    def __init__(self, program, servers, folder, level):
        super().__init__(program, servers, folder / "daemon-1.log", f'[log]\nlevel = "{level}"\n')
        self._logs = (folder / f"daemon-{life}.log" for life in itertools.count(2))

    @property
    def folder(self):
        return Path(self._folder.name)

    def is_running(self):
        return self._process.poll() is None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def terminate(self):
        """Asks it to stop, without waiting for that."""
        self._process.send_signal(signal.SIGTERM)

    def ended(self):
        """Waits until it has stopped. Raises Broken where that is not in order."""
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise Broken(f"the daemon does not stop within {STOP_S} s{self._tail()}") from None
        if code != 0:
            raise Broken(f"the daemon ended with {code} when it was told to stop{self._tail()}")

    def start(self):
        self.log = next(self._logs)
        self._process = self._start(self.folder)
        self._wait_until_ready()


class Caller(Rest):
    """A caller of the daemon who keeps every answer, for the canary."""

    def __init__(self, url, key, kept):
        super().__init__(url, key)
        self.url, self.key, self._kept = url, key, kept

    def send(self, verb, path, *given):
        status, answer = super().send(verb, path, *given)
        self._keep(path, json.dumps(answer, ensure_ascii=False))
        return status, answer

    def read(self, path):
        """Reads something of any form, and keeps it."""
        request = urllib.request.Request(self.url + path, headers=self._headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            self._keep(path, answer.read().decode())

    def _keep(self, path, text):
        with open(self._kept, "a") as kept:
            kept.write(f"{path} {text}\n")


@dataclass
class Site(Bench):
    """All of it, as long as a check lasts. The daemon calls the server `r`."""

    authority: Authority = None
    folder: Path = None
    # Every authorization server that it has had.
    authorities: list = field(default_factory=list)
    # Set when nothing more is to be tried on it.
    is_abandoned: bool = False

    def begin(self):
        """Takes the daemon as it runs now."""
        self.url, self.key = f"{self.daemon.url}/mcp/r", self.daemon.key()
        self.rest = Caller(self.daemon.url, self.key, self.folder / "answers")

    def restart(self):
        """Starts the daemon again, which was killed or has stopped."""
        self.daemon.start()
        self.begin()

    def cause(self):
        status = self.rest.status()
        return f"{status['state']}: {status.get('cause')}"

    def refused(self, text, seconds=20):
        """Calls echo, which must not be answered; what the caller is told."""
        code, answer, _took = self.rest.invoke("echo", {"text": text}, seconds)
        require(code != 200, f"{text!r} was answered with 200")
        return code, answer["error"]

    def held(self, mode, act, seconds=ASKED_S):
        """Does something, and waits until a request for a token has come to the gate that is in this mode."""
        before = len(self.authority.journal.lines("held"))
        self.authority.gate(mode)
        result = act()
        came = self.authority.journal.wait_for(
            lambda: len(self.authority.journal.lines("held")) > before, seconds
        )
        require(came, f"nobody has asked for a token within {seconds} s; the server is {self.cause()}")
        return result

    def log_in(self, refuse=False, paste=False):
        """Logs in as a person does: the command, a browser, and the pages of the authorization server."""
        with LoggingIn(self, ["--paste"] if paste else []) as login:
            address = login.address()
            back = Browser(refuse).follow(address, login.redirect_uri)
            if paste:
                return login.given(back)
            (self.folder / "page.html").write_text(Browser().page(back))
            return login.given()

    def never_twice(self):
        """No refresh token came twice to the authorization server, and it has taken nothing back for that."""
        used = Counter(line["refresh"] for line in self.authority.tokens("refresh_token"))
        twice = {token: times for token, times in used.items() if times > 1}
        taken = self.authority.events("grant.revoked")
        told = f"refresh tokens used twice: {len(twice)}, grants taken back: {len(taken)}"
        require(not twice and not taken, told)

    def finish(self):
        """Has everything read that can be read, stops the daemon, and writes a backup of what it keeps."""
        # A daemon that was killed in the middle has nothing to tell, but its disk has.
        if self.daemon.is_running():
            for path in READABLE:
                self.rest.read(path)
            exported = {"filepath": str(self.daemon.folder / "data/exported.json")}
            status, answer = self.rest.send("POST", "/api/config/export", exported)
            require(status == 200, f"the export: {status} {answer}")
            self.daemon.terminate()
            self.daemon.ended()
        command = [self.daemon.program, "store", "backup", "--to", self.folder / "backup"]
        command += ["--data-dir", self.daemon.folder / "data"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        require(done.returncode == 0, f"store backup: {done.returncode} {done.stdout}{done.stderr}")
        (self.folder / "backup.log").write_text(done.stdout + done.stderr)


@dataclass
class Lab:
    """Where a check gets its site from, and who looks at that afterwards."""

    program: Path
    folder: Path
    level: str
    # Whether all of it is to take a minute.
    short: bool
    canary: Canary
    # Every site that it has given away, and the secrets of clients, with their kinds.
    sites: list = field(default_factory=list)
    secrets: list = field(default_factory=list)

    @contextlib.contextmanager
    def site(self, auth, beside=None, **settings):
        """A site whose server has this under `mcpvisor.auth`, perhaps with servers beside it, and whose
        authorization server is set like this."""
        folder = self.folder
        guarded = Guarded(folder / "guarded")
        authority = Authority(folder / "authority", Settings(**settings), guarded.url)
        guarded.trust(authority)
        servers = {"r": {"url": guarded.url, "mcpvisor": {"auth": auth}}, **(beside or {})}
        with authority, guarded, Gateway(self.program, servers, folder, self.level) as daemon:
            site = Site(guarded.server, guarded, "", daemon, authority=authority, folder=folder)
            site.authorities.append(authority)
            self.sites.append(site)
            site.begin()
            try:
                yield site
                site.finish()
            finally:
                # As it is, also where something was wrong with it.
                self.canary.look_at(site, self.secrets)

    def abandon(self):
        """Ends what was started for it, from another thread: whoever is at it finds nothing to go on with."""
        for site in self.sites:
            site.is_abandoned = True
            for process in (site.daemon, site.running, *site.authorities):
                # One that has not been started yet has nothing to be killed.
                with contextlib.suppress(AttributeError):
                    process.kill()

    def secret(self, kind, text):
        """A reference to a secret, as an entry of a servers file has it."""
        file = self.folder / kind
        file.write_text(text)
        # Of a key in PEM the lines, whatever becomes of what is between them.
        self.secrets += [(kind, line) for line in text.splitlines() if not line.startswith("-----")]
        return f"${{file:{file}}}"


class LoggingIn:
    """`mcpvisor login r`, as long as a `with` lasts."""

    def __init__(self, site, flags):
        self._site = site
        number = sum(1 for _ in site.folder.glob("login-*.log"))
        self._out = site.folder / f"login-{number}.log"
        self._command = [site.daemon.program, "login", "r", "--url", site.daemon.url, *flags]

    def __enter__(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MCPVISOR_")}
        with open(self._out, "wb") as out:
            self._process = subprocess.Popen(
                self._command, env=kept | {"MCPVISOR_KEY": self._site.key},
                stdin=subprocess.PIPE, stdout=out, stderr=out, text=True,
            )  # fmt: skip
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @property
    def said(self):
        return self._out.read_text(errors="replace")

    def address(self):
        """The address that it says is to be opened, as soon as it says it."""

        def ready():
            return self._process.poll() is not None or f"{self._site.authority.issuer}/auth?" in self.said

        self._site.journal.wait_for(ready, LOGIN_S)
        lines = [line.strip() for line in self.said.splitlines() if ADDRESS.match(line.strip())]
        require(len(lines) == 1, f"the login says no address: {self.said}")
        return lines[0]

    @property
    def redirect_uri(self):
        """What the address says that the browser is to come back to."""
        query = urllib.parse.urlsplit(self.address()).query
        return urllib.parse.parse_qs(query)["redirect_uri"][0]

    def given(self, pasted=""):
        """Gives it the address that the browser has ended at, and waits for the end: its code and words."""
        try:
            self._process.communicate(f"{pasted}\n" if pasted else None, LOGIN_S)
        except subprocess.TimeoutExpired:
            raise Wrong(f"the login does not end within {LOGIN_S} s: {self.said}") from None
        return self._process.returncode, self.said
