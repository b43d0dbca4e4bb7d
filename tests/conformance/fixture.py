#!/usr/bin/env python3
"""An MCP server on stdin and stdout that offers what the official conformance suite asks for.

    fixture.py --era dual|legacy|modern

`legacy` speaks the revisions with a handshake (2024-11-05 to 2025-11-25) and asks its client by requests of its
own in the middle of a call. `modern` speaks 2026-07-28 only and asks by `input_required`. `dual` decides for each
message: one that claims a revision in its `_meta` is modern, every other is legacy.

It is stricter than most servers where strictness shows a fault of whoever is in front of it: an id that is still
under way is refused, a state that was changed is refused, and nothing is sent that was not asked for. What is no
message is named on stderr. The process ends with its stdin. What it offers is in fixture_offers.py.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import sys
import threading
import time

import fixture_offers as offers
from fixture_offers import Refusal

MODERN = "2026-07-28"
LEGACY = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
SERVER = {"name": "mcpvisor-conformance-fixture", "version": "1.0.0"}

NAMESPACE = "io.modelcontextprotocol/"
VERSION_KEY = NAMESPACE + "protocolVersion"
CAPABILITIES_KEY = NAMESPACE + "clientCapabilities"
LEVEL_KEY = NAMESPACE + "logLevel"
SERVER_KEY = NAMESPACE + "serverInfo"
SUBSCRIPTION_KEY = NAMESPACE + "subscriptionId"

METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS, INTERNAL = -32601, -32600, -32602, -32603
RESOURCE_NOT_FOUND, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32002, -32021, -32022

# What a client must declare to be asked, by the method that asks.
ASKED_OF = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}

# A retry may reach another process of this fixture than the one that asked, so the key cannot be made at the start.
# It keeps no secret: it only shows that a state came back as it went out.
STATE_KEY = b"conformance fixture: states are sealed, not secret"
STATE_LIFETIME_S = 600


class InputRequired(Exception):
    """The end of a modern call that needs answers first."""

    def __init__(self, requests, state):
        super().__init__("input required")
        self.result = {"resultType": "input_required", "inputRequests": requests}
        if state is not None:
            self.result["requestState"] = state


def seal(content):
    """A state as text: its content and the proof that it is ours. No two are alike, by the nonce."""
    content = content | {"nonce": os.urandom(8).hex(), "until": int(time.time()) + STATE_LIFETIME_S}
    text = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    return f"{text}.{proof_of(text)}"


def unseal(state, purpose):
    """The content of a state that was made for this purpose."""
    text, _, proof = state.partition(".") if isinstance(state, str) else ("", "", "")
    if not hmac.compare_digest(proof.encode(), proof_of(text).encode()):
        raise Refusal(INVALID_PARAMS, "requestState is not one of this server's")
    content = json.loads(base64.urlsafe_b64decode(text))
    if content["purpose"] != purpose or content["until"] < time.time():
        raise Refusal(INVALID_PARAMS, "requestState belongs to another request, or is too old")
    return content


def proof_of(text):
    return hmac.new(STATE_KEY, text.encode(), hashlib.sha256).hexdigest()


def purpose_of(method, params):
    """What a state is bound to: the method, the name or URI, and the arguments."""
    bound = [method, params.get("name"), params.get("uri"), params.get("arguments") or {}]
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()


class Call:
    """What a tool, prompt or resource may do to its client while it works, whatever the era."""

    def __init__(self, server, params):
        self.server = server
        self.params = params
        self.token = meta_of(params).get("progressToken")

    def declares(self, method):
        """Whether the client may be asked this."""
        return isinstance(self.capabilities().get(ASKED_OF[method]), dict)

    def missing(self, requests):
        """The capabilities that these requests need and the client did not declare, as an object."""
        return {ASKED_OF[r["method"]]: {} for r in requests.values() if not self.declares(r["method"])}

    def progress(self, done, total):
        if self.token is not None:
            self.server.notify("progress", {"progressToken": self.token, "progress": done, "total": total})

    def log(self, level, text):
        least = self.least_level()
        if least is not None and LEVELS.index(level) >= LEVELS.index(least):
            self.server.notify("message", {"level": level, "logger": "fixture", "data": text})

    def changed(self, what):
        self.server.changed(what)

    def updated(self, uri):
        self.server.updated(uri)


class LegacyCall(Call):
    def capabilities(self):
        """Those of the request where it names any, as some SDKs read them; else those of the handshake."""
        of_connection = self.server.client_capabilities or {}
        return meta_of(self.params).get(CAPABILITIES_KEY, of_connection)

    def least_level(self):
        return self.server.level

    async def ask(self, requests, sealed=False):
        """Asks all of them at once and waits for the answers; there is no state to seal."""
        missing = self.missing(requests)
        if missing and CAPABILITIES_KEY in meta_of(self.params):
            # Whoever speaks of capabilities in a request understands the error that goes with it.
            raise missing_capability(missing)
        if missing:
            raise offers.Failure(f"the client does not support {', '.join(missing)}")
        pushes = {key: asyncio.ensure_future(self.server.push(request)) for key, request in requests.items()}
        try:
            await asyncio.wait(pushes.values(), return_when=asyncio.FIRST_EXCEPTION)
            return {key: push.result() for key, push in pushes.items() if push.done()}
        finally:
            for push in pushes.values():
                push.cancel()


class ModernCall(Call):
    """A call that is repeated from its beginning with what was answered so far."""

    def __init__(self, server, method, params):
        super().__init__(server, params)
        self.purpose = purpose_of(method, params)
        self.answered = []
        self.round = 0
        self.has_state = "requestState" in params
        if self.has_state:
            self.answered = unseal(params["requestState"], self.purpose)["answered"]
        self.responses = checked_responses(params)

    def capabilities(self):
        return meta_of(self.params)[CAPABILITIES_KEY]

    def least_level(self):
        return meta_of(self.params).get(LEVEL_KEY)

    async def ask(self, requests, sealed=False):
        """The answers, or the end of this call with the questions.

        Answers to sealed questions count only together with the state that went out with these.
        """
        missing = self.missing(requests)
        if missing:
            raise missing_capability(missing)
        number, self.round = self.round, self.round + 1
        if number == len(self.answered) and (self.has_state or not sealed):
            self.take_answers(requests)
        if number < len(self.answered):
            return self.answered[number]
        state = {"purpose": self.purpose, "answered": self.answered}
        raise InputRequired(requests, seal(state) if sealed or self.answered else None)

    def take_answers(self, requests):
        """Takes the responses as the answers of this round, if none is missing; more than that is ignored."""
        if not all(key in self.responses for key in requests):
            return
        for key, request in requests.items():
            if not is_answer(request["method"], self.responses[key]):
                raise Refusal(INVALID_PARAMS, f"inputResponses.{key} does not answer {request['method']}")
        self.answered.append({key: self.responses[key] for key in requests})
        self.responses = {}


def checked_responses(params):
    responses = params.get("inputResponses", {})
    if not isinstance(responses, dict) or not all(isinstance(r, dict) for r in responses.values()):
        raise Refusal(INVALID_PARAMS, "inputResponses must be an object of objects")
    return responses


def is_answer(method, response):
    if method == "elicitation/create":
        return response.get("action") in ("accept", "decline", "cancel")
    if method == "sampling/createMessage":
        return "content" in response
    return isinstance(response.get("roots"), list)


def missing_capability(missing):
    message = f"the client did not declare {', '.join(missing)}"
    return Refusal(MISSING_CAPABILITY, message, {"requiredCapabilities": missing})


def meta_of(params):
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def complain(text):
    print(f"fixture: {text}", file=sys.stderr, flush=True)


class Server:
    def __init__(self, era):
        self.era = era
        # Both by the id with its type, because 1 and "1" are two requests.
        self.running = {}
        self.listens = {}
        self.pushed = {}
        self.next_push = 0
        # What a legacy client said for the whole connection. No level yet lets everything through, as in most servers.
        self.client_capabilities = None
        self.level = "debug"
        self.subscribed = set()

    # What arrives.

    def receive(self, line):
        try:
            message = json.loads(line)
        except ValueError:
            return complain(f"not JSON: {line[:200]!r}")
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return complain(f"not a message: {line[:200]!r}")
        message.setdefault("params", {})
        if "method" not in message:
            self.take_response(message)
        elif "id" in message:
            self.take_request(message)
        else:
            self.take_notification(message)

    def take_request(self, message):
        identity = message["id"]
        key = (type(identity), identity) if isinstance(identity, (str, int)) else None
        if key is None or key[0] is bool:
            # Without an id, which is not null but absent where it cannot be told.
            return self.send({"error": {"code": INVALID_REQUEST, "message": "an id is a text or a whole number"}})
        if not isinstance(message["params"], dict):
            return self.answer(identity, error=Refusal(INVALID_REQUEST, "params must be an object"))
        if key in self.running:
            return self.answer(identity, error=Refusal(INVALID_REQUEST, "a request with this id is under way"))
        self.running[key] = asyncio.ensure_future(self.run(key, message))

    def take_notification(self, message):
        if message["method"] == "notifications/cancelled" and isinstance(message["params"], dict):
            identity = message["params"].get("requestId")
            task = self.running.get((type(identity), identity)) if isinstance(identity, (str, int)) else None
            if task is not None:
                task.cancel()

    def take_response(self, message):
        waiting = self.pushed.get(message.get("id"))
        if waiting is None or waiting.done():
            return complain(f"a response to nothing: id {message.get('id')!r}")
        if "error" in message:
            text = message["error"].get("message", "no reason")
            waiting.set_exception(offers.Failure(f"the client refused: {text}"))
        else:
            waiting.set_result(message.get("result"))

    # What leaves.

    def send(self, message):
        try:
            sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)

    def answer(self, identity, result=None, error=None):
        if error is None:
            return self.send({"id": identity, "result": result})
        content = {"code": error.code, "message": str(error)}
        if error.data is not None:
            content["data"] = error.data
        return self.send({"id": identity, "error": content})

    def notify(self, what, params=None):
        self.send({"method": f"notifications/{what}"} | ({} if params is None else {"params": params}))

    async def push(self, request):
        """Asks the legacy client and waits. A token goes along, so that whoever forwards has to translate it."""
        identity, self.next_push = self.next_push, self.next_push + 1
        waiting = self.pushed[identity] = asyncio.get_running_loop().create_future()
        meta = {"_meta": {"progressToken": identity}}
        self.send({"id": identity, "method": request["method"], "params": request.get("params", {}) | meta})
        try:
            return await waiting
        except asyncio.CancelledError:
            self.notify("cancelled", {"requestId": identity, "reason": "nobody waits for the answer"})
            raise
        finally:
            del self.pushed[identity]

    def changed(self, what):
        """A list has changed: tools, prompts or resources."""
        if self.client_capabilities is not None:
            self.notify(f"{what}/list_changed")
        for identity, wanted in self.listens.values():
            if wanted.get(f"{what}ListChanged"):
                self.notify(f"{what}/list_changed", tagged(identity))

    def updated(self, uri):
        if uri in self.subscribed:
            self.notify("resources/updated", {"uri": uri})
        for identity, wanted in self.listens.values():
            if uri in wanted.get("resourceSubscriptions", []):
                self.notify("resources/updated", tagged(identity) | {"uri": uri})

    # One request from its beginning to its end.

    async def run(self, key, message):
        identity, method, params = message["id"], message["method"], message["params"]
        handle = self.modern if self.is_modern(method, params) else self.legacy
        try:
            self.answer(identity, await handle(method, params, identity))
        except Refusal as refusal:
            self.answer(identity, error=refusal)
        except offers.Failure as failure:
            self.answer(identity, error=Refusal(INTERNAL, str(failure)))
        except asyncio.CancelledError:
            # Whoever cancels has forgotten the id.
            raise
        except Exception as error:
            # A defect of the fixture; whoever waits must not wait for ever.
            complain(f"{method}: {error!r}")
            self.answer(identity, error=Refusal(INTERNAL, f"{type(error).__name__}: {error}"))
        finally:
            del self.running[key]

    def is_modern(self, method, params):
        if self.era != "dual":
            return self.era == "modern"
        only_modern = ("server/discover", "subscriptions/listen")
        return VERSION_KEY in meta_of(params) or method in only_modern

    async def legacy(self, method, params, _identity):
        own = {
            "initialize": self.initialize,
            "ping": lambda _: {},
            "logging/setLevel": self.set_level,
            "resources/subscribe": lambda params: self.subscribe(params, True),
            "resources/unsubscribe": lambda params: self.subscribe(params, False),
        }
        if method in own:
            return own[method](params)
        try:
            return await offers.serve(method, params, LegacyCall(self, params))
        except offers.NoResource as unknown:
            raise Refusal(RESOURCE_NOT_FOUND, "there is no such resource", {"uri": unknown.uri}) from unknown

    def initialize(self, params):
        asked = params.get("protocolVersion")
        capabilities = params.get("capabilities")
        if not isinstance(asked, str) or not isinstance(capabilities, dict):
            raise Refusal(INVALID_PARAMS, "initialize needs protocolVersion and capabilities")
        self.client_capabilities = capabilities
        version = asked if asked in LEGACY else LEGACY[0]
        return {"protocolVersion": version, "capabilities": offers.CAPABILITIES, "serverInfo": SERVER}

    def set_level(self, params):
        self.level = checked_level(params.get("level"))
        return {}

    def subscribe(self, params, on):
        uri = params.get("uri")
        if not isinstance(uri, str):
            raise Refusal(INVALID_PARAMS, "uri must be a text")
        (self.subscribed.add if on else self.subscribed.discard)(uri)
        return {}

    async def modern(self, method, params, identity):
        self.check_envelope(method, params)
        if method == "server/discover":
            return completed(method, {"supportedVersions": [MODERN], "capabilities": offers.CAPABILITIES})
        if method == "subscriptions/listen":
            return await self.listen(params, identity)
        try:
            return completed(method, await offers.serve(method, params, ModernCall(self, method, params)))
        except InputRequired as pause:
            return pause.result
        except offers.NoResource as unknown:
            raise Refusal(INVALID_PARAMS, "there is no such resource", {"uri": unknown.uri}) from unknown

    def check_envelope(self, method, params):
        meta = meta_of(params)
        if method == "initialize" and VERSION_KEY not in meta:
            raise unsupported_version(params.get("protocolVersion"))
        version = meta.get(VERSION_KEY)
        if not isinstance(version, str) or not isinstance(meta.get(CAPABILITIES_KEY), dict):
            raise Refusal(INVALID_PARAMS, f"_meta needs {VERSION_KEY} and {CAPABILITIES_KEY}")
        if version != MODERN:
            raise unsupported_version(version)
        if LEVEL_KEY in meta:
            checked_level(meta[LEVEL_KEY])

    async def listen(self, params, identity):
        wanted = params.get("notifications")
        if not isinstance(wanted, dict):
            raise Refusal(INVALID_PARAMS, "notifications must be an object")
        key = (type(identity), identity)
        self.notify("subscriptions/acknowledged", tagged(identity) | {"notifications": honoured(wanted)})
        self.listens[key] = (identity, wanted)
        try:
            # Until it is cancelled: the client ends a subscription, never this server.
            await asyncio.Event().wait()
        finally:
            del self.listens[key]


def honoured(wanted):
    """What was asked for and is there to be had."""
    flags = {flag: True for flag in offers.LIST_FLAGS if wanted.get(flag) is True}
    uris = wanted.get("resourceSubscriptions")
    return flags | ({"resourceSubscriptions": uris} if isinstance(uris, list) else {})


def tagged(identity):
    return {"_meta": {SUBSCRIPTION_KEY: identity}}


def completed(method, result):
    """A modern result: how it ended, who sent it, and for how long the cacheable ones hold."""
    return {"resultType": "complete", "_meta": {SERVER_KEY: SERVER}} | offers.CACHING.get(method, {}) | result


def checked_level(level):
    if level not in LEVELS:
        raise Refusal(INVALID_PARAMS, f"a level is one of {', '.join(LEVELS)}")
    return level


def unsupported_version(requested):
    data = {"supported": [MODERN], "requested": requested if isinstance(requested, str) else ""}
    return Refusal(UNSUPPORTED_VERSION, f"only {MODERN} is spoken here", data)


async def serve(era):
    """Serves until stdin ends. What was read before that is still begun, and what can be answered at once is."""
    loop = asyncio.get_running_loop()
    server, ended = Server(era), asyncio.Event()

    # A thread reads, because asyncio would make the pipe non-blocking for everybody who shares it.
    def read():
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(server.receive, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()
    # At once: nobody is left who could be told that calls under way were given up.
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--era", choices=["dual", "legacy", "modern"], required=True)
    era = parser.parse_args().era
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(era))


if __name__ == "__main__":
    main()
