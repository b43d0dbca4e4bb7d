"""A network of one's own, in which every address is this machine's: names are looked up at a name server that says what
a check wants, and each address has a door that counts who comes."""

import collections
import contextlib
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
from ipaddress import ip_address
from pathlib import Path

from daemon import Broken

# Set for the program that was started anew inside.
INSIDE = "REMOTES_OWN_NETWORK"
PROXY_VARIABLES = re.compile(r"(https?|all|no)_proxy", re.IGNORECASE)
RESOLVER = "127.0.0.1"
RESOLV_CONF = f"nameserver {RESOLVER}\noptions timeout:2 attempts:2\n"
DNS_PORT = 53
A, AAAA, IN = 1, 28, 1
# A header of DNS: an answer to a question that wanted recursion and got it.
ANSWER_FLAGS = 0x8180
PIECE = 65536


def enter():
    """Starts this program anew in a network and with mounts of its own, unless it is there already. Nothing of it is to
    be seen outside, and all of it ends with the program."""
    if INSIDE in os.environ:
        return
    if missing := [name for name in ("unshare", "ip", "mount") if not shutil.which(name)]:
        raise Broken(f"{', '.join(missing)} is missing: install util-linux and iproute2")
    # Whoever is not root is one inside.
    mapped = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", "--mount", "--net", *mapped]
    _run(*command, "true")
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, "-B", *sys.argv])


def furnish(addresses, folder):
    """Makes the network: loopback with these addresses and nothing else, and the name server of a `Resolver`."""
    _run("ip", "link", "set", "lo", "up")
    for address in addresses:
        if not ip_address(address).is_loopback:
            _run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    _put(folder / "resolv.conf", RESOLV_CONF, "/etc/resolv.conf")
    _put(folder / "nsswitch.conf", "hosts: dns\n", "/etc/nsswitch.conf")
    # A proxy would look the names up itself.
    for name in [name for name in os.environ if PROXY_VARIABLES.fullmatch(name)]:
        del os.environ[name]


def _put(file, text, place):
    file.write_text(text)
    if Path(place).exists():
        _run("mount", "--bind", str(file), place)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)}: {done.stderr.strip()}")


class Resolver:
    """A name server, for the time of a `with`, whose answers may be used once only."""

    def __init__(self):
        self._zone = {}
        self._lock = threading.Lock()
        # The addresses that were given, for each look-up.
        self.given = []

    def answer(self, name, *turns):
        """What the name leads to: a list of addresses for each time that it is looked up, after the last the first."""
        with self._lock:
            self._zone[name] = collections.deque(turns)

    def __enter__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((RESOLVER, DNS_PORT))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while not self._over.is_set():
            if select.select([self._socket], [], [], 0.2)[0]:
                query, asker = self._socket.recvfrom(PIECE)
                self._socket.sendto(self._answered(query), asker)

    def _answered(self, query):
        name, kind, end = _question(query)
        with self._lock:
            found = self._addresses(name, kind)
        records = [ip_address(address) for address in found]
        records = [r.packed for r in records if r.version == (4 if kind == A else 6)]
        head = query[:2] + struct.pack(">HHHHH", ANSWER_FLAGS, 1, len(records), 0, 0)
        # The name as a pointer to that of the question; good for no second at all.
        body = [struct.pack(">HHHIH", 0xC00C, kind, IN, 0, len(packed)) + packed for packed in records]
        return head + query[12:end] + b"".join(body)

    def _addresses(self, name, kind):
        turns = self._zone.get(name) or collections.deque([[]])
        now = turns[0]
        # Both kinds are asked for in one look-up, those of IPv4 first.
        if kind == AAAA:
            self.given.append(now)
            turns.rotate(-1)
        return now


def _question(query):
    labels, place = [], 12
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    kind, _ = struct.unpack(">HH", query[place + 1 : place + 5])
    return ".".join(labels), kind, place + 5


class Door:
    """A listener at one address, for the time of a `with`, that counts who comes and leads all to the server. So a
    request that should not have been sent would be answered, and nothing but the count tells of it."""

    def __init__(self, address, port, running):
        self.address = address
        self.count = 0
        self._running = running
        self._place = (address, port)
        self._pairs = []
        self._lock = threading.Lock()

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self._place)
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        _shut(self._listener)
        self.cut()

    def cut(self):
        """Ends all that came through it."""
        for pair in self._taken():
            for one in pair:
                _shut(one)

    @contextlib.contextmanager
    def half_cut(self):
        """Ends it for the clients; the server hears of it only when this is over, as behind a proxy that rebinds."""
        pairs = self._taken()
        for pair in pairs:
            pair.held = True
            _shut(pair.client)
        try:
            yield
        finally:
            for pair in pairs:
                _shut(pair.server)

    def _taken(self):
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.count += 1
                self._lead(client)
        self._listener.close()

    def _lead(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self._running.port))
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        with self._lock:
            self._pairs.append(pair)
        for act in (pair.lead_in, pair.lead_out):
            threading.Thread(target=act, daemon=True).start()


class _Pair:
    """The two connections that are one for those who talk over it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        # Whether the server is not to hear that the client has gone.
        self.held = False

    def __iter__(self):
        return iter((self.client, self.server))

    def lead_in(self):
        _carry(self.client, self.server)
        if not self.held:
            _shut(self.server)

    def lead_out(self):
        _carry(self.server, self.client)
        _shut(self.client)


def _carry(source, target):
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)


def _shut(one):
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def silent(address, port):
    """An address that says nothing: its queue is full, so that who connects is not even refused."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield
