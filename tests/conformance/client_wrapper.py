#!/usr/bin/env python3
"""The client that the official MCP conformance suite tests: mcpvisor, with the suite's server as its only one.

    client_wrapper.py URL

The suite starts this once for each scenario and adds its server's address; run_client.py starts the suite. A gateway
asks nothing of its own accord, so this is its caller as well: once the server is ready it lists the tools and calls
each over /v1, with the arguments that the scenario names, or some made from the tool's schema. Where the server asks
back, and where prompts and resources count, it goes through the front door /mcp as an MCP client does.

The environment: MCPVISOR_UNDER_TEST is the program; what that prints goes to the file MCPVISOR_CLIENT_LOG, if it is
set; with MCPVISOR_CLIENT_ERA the entry says of which era the server is, which the program has to find out otherwise.
MCP_CONFORMANCE_SCENARIO, _PROTOCOL_VERSION and _CONTEXT come from the suite.

What was done is on stdout, and what was not on stderr. Exit codes, all the same to the suite but 0: 0 all was done;
1 the program did not do it; 2 it could not be tried.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from daemon import Broken, Daemon  # noqa: E402
from mcp_http import MODERN, Endpoint, Legacy, Modern, Unanswered  # noqa: E402

SERVER = "remote"
# Enough for three attempts with the pauses between them: some answers to the first say nothing about the era.
READY_S = 25
POLL_S = 0.1
# Nothing that the suite's servers are asked takes longer than a second.
CALL_S = 30
# States that no waiting changes.
FINAL = {"failed", "unauthorized", "disabled", "exited"}
# Of the program's log, where something was not done.
LOG_LINES = 8
# A server that asks more often than this never has enough.
ROUNDS = 8
# Deep enough for every schema of the suite, and an end for one that refers to itself.
DEEPEST = 8
PLAIN = {"string": "text", "number": 2.5, "integer": 2, "boolean": True, "null": None, "array": []}
CAN_BE_ASKED = {"elicitation": {"form": {}}}
METHOD_NOT_FOUND = -32601
# Their servers offer a tool and refuse the call of it; it is made because a schema could be followed then.
REFUSED_BY_THE_SUITE = {"json-schema-ref-no-deref"}


class NotDone(Exception):
    """The program did not do its part; the text says what it did instead."""


def say(text):
    print(text, flush=True)


class Doors:
    """Both ways into the daemon, taken as its owner."""

    def __init__(self, daemon):
        self._address = urlsplit(daemon.url).netloc
        self._key = {"Authorization": f"Bearer {daemon.owner_key}"}
        self._endpoint = Endpoint(f"{daemon.url}/mcp/{SERVER}", self._key, CALL_S)

    def rest(self, verb, path, body=None):
        """Asks /v1: the status and the value of its answer."""
        connection = http.client.HTTPConnection(self._address, timeout=CALL_S)
        try:
            headers = {**self._key, "Content-Type": "application/json"}
            connection.request(verb, path, body=json.dumps(body).encode() if body else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def modern(self):
        return Modern(self._endpoint, capabilities=CAN_BE_ASKED)

    def legacy(self):
        """A client in a session of its own."""
        client = Legacy(self._endpoint, capabilities=CAN_BE_ASKED)
        result_of(json.loads(client.open()), "initialize")
        return client


def result_of(message, method):
    if "result" not in message:
        raise NotDone(f"{method} was refused: {json.dumps(message.get('error', message))}")
    return message["result"]


def asked(client, method, params=None):
    """The result of a request by which nobody is asked back."""
    return result_of(json.loads(client.ask(method, params)), method)


def await_ready(doors):
    end = time.monotonic() + READY_S
    before = None
    while True:
        _, answer = doors.rest("GET", f"/v1/mcps/{SERVER}")
        server = answer.get("data") or {}
        now = server.get("state"), server.get("cause")
        if now != before:
            say(f"state {now[0]}: {now[1]}")
            before = now
        if now[0] == "ready":
            return
        if now[0] in FINAL or time.monotonic() > end:
            raise NotDone(f"the server is {now[0]} and not ready: {now[1] or json.dumps(answer)}")
        time.sleep(POLL_S)


def listed(doors):
    """The server's tools, by the front door: it waits for a list that is still on its way."""
    answer = json.loads(doors.modern().ask("tools/list"))
    # What a server without tools gets: it is not asked for its list.
    none = answer.get("error", {}).get("code") == METHOD_NOT_FOUND
    tools = [] if none else result_of(answer, "tools/list")["tools"]
    say(f"tools {' '.join(tool['name'] for tool in tools) or 'none'}")
    return tools


def pointed_to(root, pointer):
    """What a JSON pointer without escapes points to; an empty schema where that is nothing."""
    for name in pointer.removeprefix("#/").split("/"):
        root = root.get(name, {}) if isinstance(root, dict) else {}
    return root


def made_from(schema, root=None, depth=0):
    """A value for a schema, by its defaults and by what its plain keywords say. What refers to another document gets
    an empty object: this follows nothing, so whatever is fetched was fetched by the program."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > DEEPEST:
        return {}
    for word in ("default", "const"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("$ref", "").startswith("#/"):
        return made_from(pointed_to(root, schema["$ref"]), root, depth + 1)
    for word in ("oneOf", "anyOf"):
        if schema.get(word):
            return made_from(schema[word][0], root, depth + 1)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind in PLAIN:
        return PLAIN[kind]
    return {name: made_from(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}


def call(doors, tool, arguments):
    """Whether /v1 brought back what the tool said, which may be an error of the tool."""
    body = {"mcp_id": SERVER, "tool": tool, "arguments": arguments}
    status, answer = doors.rest("POST", "/v1/mcp/invoke", body)
    say(f"call {tool} {json.dumps(arguments)}: HTTP {status} {json.dumps(answer)}")
    return status in (200, 422)


def call_all(doors, context):
    tools = listed(doors)
    made = [{"name": tool["name"], "arguments": made_from(tool["inputSchema"])} for tool in tools]
    calls = context.get("toolCalls") or made
    # All of them, whatever becomes of the first: the suite judges each by itself.
    lost = [one["name"] for one in calls if not call(doors, one["name"], one["arguments"])]
    if lost and context["scenario"] not in REFUSED_BY_THE_SUITE:
        raise NotDone(f"not answered: {', '.join(lost)}")


def use_everything(doors, context):
    """For scenarios that look at every request: prompts and resources too, of which /v1 has only a part."""
    call_all(doors, context)
    client = doors.modern()
    for resource in asked(client, "resources/list")["resources"]:
        say(f"resource {resource['uri']}: {asked(client, 'resources/read', {'uri': resource['uri']})}")
    for prompt in asked(client, "prompts/list")["prompts"]:
        say(f"prompt {prompt['name']}: {asked(client, 'prompts/get', {'name': prompt['name']})}")


def echo_schema(doors, _context):
    """Gives the server back the schema that it announced, as it arrived here."""
    schemas = {tool["name"]: tool["inputSchema"] for tool in listed(doors)}
    focal = schemas.get("json_schema_2020_12_tool")
    if focal is None:
        raise NotDone("the tool whose schema is to be given back is not listed")
    if not call(doors, "json_schema_echo", {"schema": focal}):
        raise NotDone("the schema was not taken")


def answer_to(question):
    """What a user says who takes every default."""
    say(f"asked {json.dumps(question)}")
    if question["method"] != "elicitation/create":
        raise NotDone(f"asked for {question['method']}, which this client has not declared")
    return {"action": "accept", "content": made_from(question["params"]["requestedSchema"])}


def call_in_session(client, tool):
    """Calls a tool as a legacy client does: questions are requests on the call's own stream."""
    identity = client.take_id()
    with client.begin("tools/call", {"name": tool, "arguments": {}}, identity) as reply:
        while (text := reply.message()) is not None:
            message = json.loads(text)
            if "method" in message and "id" in message:
                answer = {"jsonrpc": "2.0", "id": message["id"], "result": answer_to(message)}
                with client.endpoint.post(answer, client.headers()) as taken:
                    if taken.status != 202:
                        raise NotDone(f"the answer to {message['method']} was not taken: HTTP {taken.status}")
            elif message.get("id") == identity:
                return result_of(message, tool)
    raise NotDone(f"{tool} ended without an answer")


def take_defaults(doors, _context):
    tools = listed(doors)
    client = doors.legacy()
    try:
        for tool in tools:
            say(f"call {tool['name']}: {json.dumps(call_in_session(client, tool['name']))}")
    finally:
        client.close()


def call_in_rounds(client, tool, between=None):
    """Calls a tool as a modern client does: questions are a result, and the call is made again with the answers. With
    another tool `between`, that is called while the first one waits."""
    first = {"name": tool, "arguments": {}}
    params = first
    for _ in range(ROUNDS):
        result = asked(client, "tools/call", params)
        say(f"call {tool}: {json.dumps(result)}")
        if result.get("resultType") != "input_required":
            return
        if between:
            say(f"call {between}: {json.dumps(asked(client, 'tools/call', {'name': between, 'arguments': {}}))}")
        answers = {name: answer_to(question) for name, question in result.get("inputRequests", {}).items()}
        state = {"requestState": result["requestState"]} if "requestState" in result else {}
        params = {**first, "inputResponses": answers, **state}
    raise NotDone(f"{tool} still asks after {ROUNDS} rounds")


def answer_in_rounds(doors, _context):
    listed(doors)
    client = doors.modern()
    call_in_rounds(client, "test_mrtr_echo_state", between="test_mrtr_unrelated")
    call_in_rounds(client, "test_mrtr_no_state")
    call_in_rounds(client, "test_mrtr_no_result_type")


# What is done in scenarios where it takes more than to call every tool.
ACTS = {
    "elicitation-sep1034-client-defaults": take_defaults,
    "http-standard-headers": use_everything,
    "json-schema-2020-12-preservation": echo_schema,
    "sep-2322-client-request-state": answer_in_rounds,
}


# The address that the suite wants as a client's id; nobody fetches it.
CLIENT_METADATA = "https://conformance-test.local/client-metadata.json"
# How often a person would log in again because more rights are wanted.
LOGINS = 3
LOGIN_S = 20


def is_login(scenario):
    return scenario.startswith("auth/") and not scenario.startswith("auth/client-credentials")


def log_in(daemon, program):
    """Does what a person does: begins a login, and lets the browser go where it is sent."""
    command = [program, "login", SERVER, "--url", daemon.url, "--key", daemon.owner_key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as login:
        try:
            said = []
            for line in login.stdout:
                said.append(line)
                if line.strip().startswith("http"):
                    browse(line.strip())
            if login.wait(timeout=LOGIN_S) != 0:
                raise NotDone(f"the login failed: {''.join(said).strip()}")
        finally:
            login.kill()
    say("logged in")


def browse(address):
    """Opens an address as a browser would, up to the page at the end."""
    try:
        with urllib.request.urlopen(address, timeout=LOGIN_S) as page:
            page.read()
    except OSError as error:
        raise NotDone(f"the browser could not go on: {error}") from error


def play_login(doors, daemon, program, context):
    """Logs in, calls everything, and logs in again where a call says that more is wanted."""
    for _ in range(LOGINS):
        state = await_any(doors, ["ready", "unauthorized", "degraded"])
        if state == "unauthorized":
            log_in(daemon, program)
            state = await_any(doors, ["ready", "degraded", "unauthorized"], after="unauthorized")
        if state == "unauthorized":
            # It wants another login, perhaps somewhere else.
            continue
        try:
            call_all(doors, context)
            return
        except NotDone as refused:
            _, answer = doors.rest("GET", f"/v1/mcps/{SERVER}")
            if (answer.get("data") or {}).get("state") not in ("degraded", "unauthorized"):
                raise
            say(f"more is wanted: {refused}")
        log_in(daemon, program)
    call_all(doors, context)


def await_any(doors, states, after=None):
    """Waits for one of these states; with `after`, first for that one to end, for a moment."""
    end, left = time.monotonic() + READY_S, time.monotonic() + (3 if after else 0)
    while True:
        _, answer = doors.rest("GET", f"/v1/mcps/{SERVER}")
        server = answer.get("data") or {}
        state = server.get("state")
        if state in states and (state != after or time.monotonic() > left):
            say(f"state {state}: {server.get('cause')}")
            return state
        if state == "failed" or time.monotonic() > end:
            raise NotDone(f"the server is {state}: {server.get('cause')}")
        time.sleep(POLL_S)


def entry(url, context, folder):
    """The server in the servers file; with credentials where the suite gives some."""
    own = {}
    if "MCPVISOR_CLIENT_ERA" in os.environ:
        modern = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] == MODERN
        own["era"] = "modern" if modern else "legacy"
    if is_login(context["scenario"]):
        own["auth"] = {"type": "login"}
        for member in ["client_id", "client_secret"]:
            if member in context:
                own["auth"][member] = context[member]
        if context["scenario"] == "auth/basic-cimd":
            own["auth"]["client_id"] = CLIENT_METADATA
    if context["scenario"].startswith("auth/client-credentials"):
        own["auth"] = {"type": "client_credentials", "client_id": context["client_id"]}
        if "client_secret" in context:
            own["auth"]["client_secret"] = context["client_secret"]
        else:
            key = Path(folder, "client.pem")
            key.write_text(context["private_key_pem"])
            own["auth"]["private_key"] = f"${{file:{key}}}"
    return {"url": url, **({"mcpvisor": own} if own else {})}


def play(url, log, folder):
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    context = {"scenario": scenario, **json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))}
    program = os.environ.get("MCPVISOR_UNDER_TEST")
    if not program:
        raise Broken("MCPVISOR_UNDER_TEST does not name the program")
    with Daemon(Path(program), {SERVER: entry(url, context, folder)}, log) as daemon:
        doors = Doors(daemon)
        if is_login(scenario):
            play_login(doors, daemon, program, context)
            say("done")
            return
        await_ready(doors)
        ACTS.get(scenario, call_all)(doors, context)
    say("done")


def lose_patience(*_):
    raise NotDone("it was told to stop, because this took too long")


def last_lines(log):
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [line for line in said if line.strip()][-LOG_LINES:]


def main():
    # As an exception, so that the daemon is ended, and its last words are told.
    signal.signal(signal.SIGTERM, lose_patience)
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="conformance-client-") as folder:
        log = Path(os.environ.get("MCPVISOR_CLIENT_LOG") or f"{folder}/daemon.log")
        try:
            play(sys.argv[1], log, folder)
        except (NotDone, Unanswered, http.client.HTTPException, OSError, ValueError, KeyError) as reason:
            told = reason if isinstance(reason, NotDone | Unanswered) else repr(reason)
            # The reason last: of what a client says, the end is shown.
            print("\n".join([*last_lines(log), f"client_wrapper.py: {told}"]), file=sys.stderr)
            return 1
        except Broken as reason:
            print(f"client_wrapper.py: {reason}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
