"""What the fixture offers: tools, prompts, resources and completions, by the names that the suite expects.

Everything here is written once for both eras. A handler gets the call it works for: `ask` for the client's input,
`progress`, `log`, and `changed` and `updated` for what others are to be told.
"""

import asyncio
import json
import re

# One blue dot, and a millisecond of silence.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNQSFgAAAHEASFiX4r9AAAAAElFTkSuQmCC"
WAV = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA=="

CAPABILITIES = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "completions": {},
    "logging": {},
}
LIST_FLAGS = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"]

# Lists are the same for everybody; what a resource says is not kept, so that a change is seen.
SHARED = {"ttlMs": 60_000, "cacheScope": "public"}
CACHING = {
    "server/discover": SHARED,
    "tools/list": SHARED,
    "prompts/list": SHARED,
    "resources/list": SHARED,
    "resources/templates/list": SHARED,
    "resources/read": {"ttlMs": 0, "cacheScope": "private"},
}

# Between two notifications of one call: long enough to arrive one by one.
PAUSE_S = 0.05

TOOLS = {}
PROMPTS = {}


class Refusal(Exception):
    """The end of a request with a JSON-RPC error."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code = code
        self.data = data


class Failure(Exception):
    """What a handler could not do: a tool says it in its result, for a prompt it is an error."""


class NoResource(Exception):
    """A URI that nothing is behind. The eras have different codes for it."""

    def __init__(self, uri):
        super().__init__(uri)
        self.uri = uri


async def serve(method, params, call):
    """The result of a request that both eras have."""
    if method not in SERVED:
        raise Refusal(-32601, f"there is no method {method}")
    return await SERVED[method](params, call)


# Tools.


def tool(description, required=(), **properties):
    """Makes a tool of a function; its name is the function's."""
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return tool_with(description, schema)


def tool_with(description, schema):
    def register(function):
        listed = {"name": function.__name__, "description": description, "inputSchema": schema}
        TOOLS[function.__name__] = (listed, function)
        return function

    return register


def said(text):
    return {"content": [{"type": "text", "text": text}]}


def failed(text):
    return said(text) | {"isError": True}


def image():
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def resource(uri, text, kind="text/plain"):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


def elicitation(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def sampling(text, most_tokens=100):
    message = {"role": "user", "content": {"type": "text", "text": text}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": most_tokens}}


def roots():
    return {"method": "roots/list", "params": {}}


TEXT = {"type": "string"}


# First in the list on purpose: the suite calls the first tool that it sees, without arguments.
@tool("Says one sentence.")
async def test_simple_text(_call):
    return said("One sentence, as plain as text can be.")


@tool("Shows a picture of one dot.")
async def test_image_content(_call):
    return {"content": [image()]}


@tool("Plays a millisecond of silence.")
async def test_audio_content(_call):
    return {"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}


@tool("Hands over a resource inside its result.")
async def test_embedded_resource(_call):
    return {"content": [resource("test://embedded-resource", "What was embedded.")]}


@tool("Answers with a text, a picture and a resource.")
async def test_multiple_content_types(_call):
    text = {"type": "text", "text": "Three kinds of content:"}
    data = resource("test://mixed-content-resource", json.dumps({"kinds": 3}), "application/json")
    return {"content": [text, image(), data]}


@tool("Logs three times while it works.")
async def test_tool_with_logging(call):
    call.log("info", "the work begins")
    await asyncio.sleep(PAUSE_S)
    call.log("info", "half of it is done")
    await asyncio.sleep(PAUSE_S)
    call.log("info", "all of it is done")
    return said("Logged three times.")


@tool("Reports its progress at the beginning, in the middle and at the end.")
async def test_tool_with_progress(call):
    for done in (0, 50, 100):
        call.progress(done, 100)
        await asyncio.sleep(PAUSE_S)
    return said("Went from 0 to 100.")


@tool("Fails whenever it is called.")
async def test_error_handling(_call):
    return failed("This tool does nothing but fail.")


@tool("Takes so long that a connection may be lost and found again meanwhile.")
async def test_reconnection(_call):
    await asyncio.sleep(1.5)
    return said("Still there.")


@tool("Has the client's model complete a prompt.", ["prompt"], prompt=TEXT)
async def test_sampling(call, prompt=""):
    answers = await call.ask({"completion": sampling(prompt)})
    return said(f"The model said: {text_of(answers['completion'])}")


@tool("Asks the client's user for a name and an address.", ["message"], message=TEXT)
async def test_elicitation(call, message=""):
    username = TEXT | {"description": "How you are called"}
    email = TEXT | {"description": "Where mail reaches you"}
    answers = await call.ask({"person": elicitation(message, username=username, email=email)})
    return said(f"The user answered {json.dumps(answers['person'])}")


@tool("Asks with a form that is filled in already, in each primitive type.")
async def test_elicitation_sep1034_defaults(call):
    form = elicitation(
        "Is this right?",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )
    answers = await call.ask({"form": form})
    return said(f"The form came back: {json.dumps(answers['form'])}")


@tool("Asks with a form that has a choice of each style.")
async def test_elicitation_sep1330_enums(call):
    plain = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    legacy = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Choice 1", "Choice 2", "Choice 3"]}
    form = elicitation(
        "What will it be?",
        untitledSingle={"type": "string", "enum": plain},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={"type": "string"} | legacy,
        untitledMulti={"type": "array", "items": {"type": "string", "enum": plain}},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    answers = await call.ask({"form": form})
    return said(f"The form came back: {json.dumps(answers['form'])}")


@tool_with(
    "Has a schema with keywords that a careless proxy loses.",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {"$anchor": "addressDef", "type": "object", "properties": {"street": TEXT, "city": TEXT}},
        },
        "properties": {
            "name": TEXT,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": TEXT,
            "email": TEXT,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema_2020_12_tool(_call, **arguments):
    return said(f"Got {json.dumps(arguments)}")


@tool(
    "Has an argument that travels in a header as well.",
    ["region"],
    region=TEXT | {"x-mcp-header": "Region"},
    level={"type": "integer"},
)
async def test_x_mcp_header(_call, region="", level=0):
    return said(f"Region {region}, level {level}.")


@tool("Needs a client that can sample.")
async def test_missing_capability(call):
    answers = await call.ask({"completion": sampling("Say anything.")})
    return said(f"The model said: {text_of(answers['completion'])}")


@tool("Reports progress, then asks the user.")
async def test_streaming_elicitation(call):
    call.progress(1, 2)
    answers = await call.ask({"color": elicitation("Which color?", color=TEXT)})
    return said(f"The user answered {json.dumps(answers['color'])}")


@tool("Logs at three levels, to whoever wants to know.")
async def test_logging_tool(call):
    for level in ("debug", "info", "error"):
        call.log(level, f"something at {level}")
    return said("Logged what was asked for.")


def asking_for_a_name():
    return elicitation("Whom shall I greet?", name=TEXT)


@tool("Asks for a name and greets it.")
async def test_input_required_result_elicitation(call):
    answers = await call.ask({"user_name": asking_for_a_name()})
    return said(f"Good day, {content_of(answers['user_name']).get('name', 'stranger')}.")


@tool("Asks the client's model for a capital.")
async def test_input_required_result_sampling(call):
    answers = await call.ask({"capital_question": sampling("Name the capital of France.")})
    return said(f"The model said: {text_of(answers['capital_question'])}")


@tool("Asks for the client's roots and names them.")
async def test_input_required_result_list_roots(call):
    answers = await call.ask({"client_roots": roots()})
    return said(f"Your roots: {json.dumps(answers['client_roots']['roots'])}")


@tool("Asks, and gives the client a state to bring back.")
async def test_input_required_result_request_state(call):
    await call.ask({"confirm": elicitation("Go on?", ok={"type": "boolean"})}, sealed=True)
    return said("state-ok: the state came back as it was.")


@tool("Asks the user, the model and for roots, all at once.")
async def test_input_required_result_multiple_inputs(call):
    questions = {
        "user_name": asking_for_a_name(),
        "greeting": sampling("Think of a greeting.", 50),
        "client_roots": roots(),
    }
    answers = await call.ask(questions, sealed=True)
    return said(f"{len(answers)} answers: {text_of(answers['greeting'])}")


@tool("Asks twice, the second time knowing the first answer.")
async def test_input_required_result_multi_round(call):
    first = await call.ask({"step1": asking_for_a_name()}, sealed=True)
    name = content_of(first["step1"]).get("name", "stranger")
    second = await call.ask({"step2": elicitation(f"Which color, {name}?", color=TEXT)}, sealed=True)
    return said(f"{name} likes {content_of(second['step2']).get('color', 'nothing')}.")


@tool("Asks, and takes no state that was changed on the way.")
async def test_input_required_result_tampered_state(call):
    await call.ask({"confirm": elicitation("Go on?", ok={"type": "boolean"})}, sealed=True)
    return said("The state was not touched.")


@tool("Asks only what the client can be asked.")
async def test_input_required_result_capabilities(call):
    questions = {"greeting": sampling("Think of a greeting."), "user_name": asking_for_a_name()}
    possible = {key: question for key, question in questions.items() if call.declares(question["method"])}
    answers = await call.ask(possible) if possible else {}
    return said(f"Answered: {', '.join(answers) or 'nothing could be asked'}.")


@tool("Says that the list of tools has changed.")
async def test_trigger_tool_change(call):
    call.changed("tools")
    return said("Said so.")


@tool("Says that the list of prompts has changed.")
async def test_trigger_prompt_change(call):
    call.changed("prompts")
    return said("Said so.")


# Not of the suite, which never waits for an update: for tests of our own.
@tool("Says that the list of resources has changed, and the watched resource.")
async def test_trigger_resource_change(call):
    call.changed("resources")
    call.updated("test://watched-resource")
    return said("Said so.")


def text_of(message):
    """The text of a model's answer, whose content is one block or, since 2025-11-25, a list of them."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else [content]
    return " ".join(block.get("text", "") for block in blocks if isinstance(block, dict))


def content_of(answer):
    """What the user filled in; nothing if the answer was no."""
    content = answer.get("content")
    return content if isinstance(content, dict) else {}


async def list_tools(params, _call):
    return one_page(params, "tools", [listed for listed, _ in TOOLS.values()])


async def call_tool(params, call):
    _, function = known(TOOLS, params, "tool")
    arguments = arguments_of(params)
    try:
        return await function(call, **arguments)
    except Failure as failure:
        return failed(str(failure))
    except TypeError as error:
        # Python says it of an argument that the function does not have.
        return failed(f"the arguments do not fit: {error}")


# Prompts.


def prompt(description, **arguments):
    """Makes a prompt of a function; all its arguments are required."""

    def register(function):
        listed = {"name": function.__name__, "description": description}
        if arguments:
            listed["arguments"] = [{"name": n, "description": d, "required": True} for n, d in arguments.items()]
        PROMPTS[function.__name__] = (listed, function)
        return function

    return register


def from_user(*blocks):
    return {"messages": [{"role": "user", "content": block} for block in blocks]}


def text_block(text):
    return {"type": "text", "text": text}


@prompt("One message, always the same.")
async def test_simple_prompt(_call):
    return from_user(text_block("Please say something plain."))


@prompt("One message with two words of the caller's.", arg1="The first word", arg2="The second word")
async def test_prompt_with_arguments(_call, arg1, arg2):
    return from_user(text_block(f"The words were '{arg1}' and '{arg2}'."))


@prompt("A resource, and what to do with it.", resourceUri="Where the resource is")
async def test_prompt_with_embedded_resource(_call, resourceUri):
    return from_user(resource(resourceUri, "What is behind the URI."), text_block("Please read this."))


@prompt("A picture, and what to do with it.")
async def test_prompt_with_image(_call):
    return from_user(image(), text_block("Please look at this."))


@prompt("Asks the user what it is to be about.")
async def test_input_required_result_prompt(call):
    answers = await call.ask({"user_context": elicitation("What is it about?", context=TEXT)})
    return from_user(text_block(f"It is about {content_of(answers['user_context']).get('context', 'nothing')}."))


async def list_prompts(params, _call):
    return one_page(params, "prompts", [listed for listed, _ in PROMPTS.values()])


async def get_prompt(params, call):
    listed, function = known(PROMPTS, params, "prompt")
    names = {argument["name"] for argument in listed.get("arguments", [])}
    arguments = arguments_of(params)
    if set(arguments) != names:
        raise Refusal(-32602, f"this prompt takes {', '.join(sorted(names)) or 'no arguments'}")
    return await function(call, **arguments)


# Resources.

RESOURCES = [
    {"uri": "test://static-text", "name": "static-text", "description": "A text.", "mimeType": "text/plain"},
    {"uri": "test://static-binary", "name": "static-binary", "description": "A dot.", "mimeType": "image/png"},
    {"uri": "test://watched-resource", "name": "watched-resource", "description": "Changes.", "mimeType": "text/plain"},
]
TEMPLATE = {
    "uriTemplate": "test://template/{id}/data",
    "name": "template",
    "description": "Says which id was asked for.",
    "mimeType": "application/json",
}
CONTENTS = {
    "test://static-text": {"mimeType": "text/plain", "text": "A text that stays as it is."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "A text that may change."},
}


async def list_resources(params, _call):
    return one_page(params, "resources", RESOURCES)


async def list_templates(params, _call):
    return one_page(params, "resourceTemplates", [TEMPLATE])


async def read_resource(params, _call):
    uri = params.get("uri")
    if not isinstance(uri, str):
        raise Refusal(-32602, "uri must be a text")
    from_template = re.fullmatch(r"test://template/([^/]+)/data", uri)
    if from_template:
        text = json.dumps({"id": from_template[1], "from": "template"})
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}
    if uri not in CONTENTS:
        raise NoResource(uri)
    return {"contents": [{"uri": uri} | CONTENTS[uri]]}


# Completion, and what the methods share.


async def complete(params, _call):
    argument = params.get("argument")
    if not isinstance(params.get("ref"), dict) or not isinstance(argument, dict):
        raise Refusal(-32602, "completion needs ref and argument")
    words = [word for word in ("test", "testing", "text") if word.startswith(str(argument.get("value", "")))]
    return {"completion": {"values": words, "total": len(words), "hasMore": False}}


def one_page(params, name, items):
    if "cursor" in params:
        raise Refusal(-32602, "no cursor was ever handed out here")
    return {name: items}


def known(table, params, kind):
    name = params.get("name")
    if not isinstance(name, str) or name not in table:
        raise Refusal(-32602, f"there is no {kind} {name!r}")
    return table[name]


def arguments_of(params):
    arguments = params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise Refusal(-32602, "arguments must be an object")
    return arguments


SERVED = {
    "tools/list": list_tools,
    "tools/call": call_tool,
    "prompts/list": list_prompts,
    "prompts/get": get_prompt,
    "resources/list": list_resources,
    "resources/templates/list": list_templates,
    "resources/read": read_resource,
    "completion/complete": complete,
}
