"""The servers and settings of the daemon that the cases run against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# A name that has to be escaped in a path, in more than one way.
ODD_NAME = "naïve/ü 名?#%2F"
# Servers that are switched off cost nothing: enough of them for three pages.
SHELVED = [f"shelved-{number:02}" for number in range(45)]


def definitions(fake: str, directory: Path) -> dict[str, Any]:
    """The servers file. Each server that a case disturbs is that case's alone."""

    def server(*arguments: str, env: dict[str, str] | None = None, **treatment: Any) -> dict[str, Any]:
        definition: dict[str, Any] = {"command": fake, "args": list(arguments), "mcpvisor": treatment}
        return {**definition, "env": env} if env else definition

    tools = directory / "tools.json"
    tools.write_text(json.dumps([tool_of_block("first")]))
    shelved = {name: {"command": fake, "disabled": True} for name in SHELVED}
    return {
        **shelved,
        "fake": server(),
        "other": server(),
        "count": server("--count-file", str(directory / "count")),
        "logging": server(),
        "quiet": server(),
        "crash": server(),
        "off": {"command": fake, "disabled": True},
        "gone": {"command": str(directory / "there-is-no-such-program")},
        "narrow": server(max_in_flight=1, queue=1, queue_age="60s"),
        "breaker": server(breaker_failures=1, breaker_pause="60s", call_timeout="5s"),
        "hang": server("--hang-init", start="on-demand", start_timeout="60s"),
        "blocked": server("--tools-file", str(tools), pin="block"),
        "secretive": server(env={"TOKEN": "${principal:TOKEN}"}, isolation="per-principal"),
        ODD_NAME: server(),
    }


def tool_of_block(description: str) -> dict[str, Any]:
    """The tool that changes after it was approved."""
    return {"name": "changing", "description": description, "inputSchema": {"type": "object"}}


def settings(model_url: str) -> str:
    """The configuration file: `/api` needs a key, and a scripted model answers questions."""
    return f"""
[api]
auth = "required"

[organization]
plan = "unlimited"

[llm]
base_url = "{model_url}"
retries = 0
"""
