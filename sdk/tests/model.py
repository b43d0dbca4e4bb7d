"""A scripted model behind OpenAI's chat completions, for questions to the daemon.

It calls the tool `echo` once and then says what came of it. What a question says decides: `refuse` has it
answer with an error, `break` has it end in the middle of its words, `wait` has it say nothing.
"""

from __future__ import annotations

import json
from typing import Any

from stand_in import Link, Received, StandIn, answer, raw, silence

WORDS = ["The tool ", "said: ", "héllo 🌍"]


def _delta(**delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


def _finish(reason: str) -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"


def _call_of(request: dict[str, Any]) -> dict[str, Any]:
    names = [tool["function"]["name"] for tool in request["tools"]]
    name = next(name for name in names if name.endswith("echo"))
    return {
        "id": "call_0001",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps({"text": "héllo 🌍"})},
    }


def _streamed(*pieces: bytes, whole: bool = True) -> Any:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return raw(head + b"".join(pieces), then="close" if whole else "reset")


def _whole(message: dict[str, Any], reason: str) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return answer(200, {"object": "chat.completion", "choices": [choice], "usage": usage})


def _turn(link: Link, received: Received, stand_in: StandIn) -> bool:
    request = received.json()
    streams = bool(request.get("stream"))
    asked = json.dumps([message for message in request["messages"] if message["role"] == "user"])
    if "refuse" in asked:
        step = answer(400, {"error": {"message": "the model refuses", "type": "invalid_request_error"}})
    elif "wait" in asked:
        step = silence
    elif any(message["role"] == "tool" for message in request["messages"]):
        words = [_delta(content=word) for word in WORDS]
        if "break" in asked:
            step = _streamed(*words, whole=False)
        else:
            step = _streamed(*words, _finish("stop")) if streams else _whole({"content": "".join(WORDS)}, "stop")
    else:
        call = _call_of(request)
        if streams:
            step = _streamed(_delta(tool_calls=[{"index": 0, **call}]), _finish("tool_calls"))
        else:
            step = _whole({"content": None, "tool_calls": [call]}, "tool_calls")
    return bool(step(link, received, stand_in))


class Model(StandIn):
    """Listens until it is closed."""

    def __init__(self) -> None:
        super().__init__(rest=_turn)
