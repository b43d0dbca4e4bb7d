"""Derives `src/mcpvisor/_types.py` from the daemon's two OpenAPI documents.

    python generate.py            writes the file
    python generate.py --check    exit code 1 if the file is not what would be written

Python >= 3.10, standard library only. A schema of a kind that is not known here ends the program: a type that
is wrong without a word would be worse than none.
"""

from __future__ import annotations

import argparse
import json
import keyword
import sys
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "src" / "mcpvisor" / "_types.py"
DOCUMENTS = HERE.parents[1] / "src" / "http"
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

HEAD = '''"""Types of what the daemon takes and answers. Made by `generate.py` from the OpenAPI documents: edit neither.

Answers may have members beyond these; they are kept. Names of `/api` begin with `Api`.
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, TypedDict, Union
'''


class Unknown(Exception):
    """A schema that this program cannot read."""


class Writer:
    """Writes the types of one document, each before what refers to it or as text that is read later."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.names: list[str] = []
        self.parts: list[str] = []

    def name_of(self, name: str) -> str:
        """The name of a schema in Python."""
        return name if name.startswith(self._prefix) else self._prefix + name

    def define(self, name: str, schema: dict[str, Any]) -> None:
        """Adds a class for an object with members, and an alias for anything else."""
        if schema.get("type") == "object" and schema.get("properties") and not schema.get("additionalProperties"):
            self._define_object(name, schema)
            return
        text = self.expression(name, schema)
        self._add(name, f"{name} = {text}\n{_docstring(schema, '')}")

    def expression(self, name: str, schema: dict[str, Any]) -> str:
        """The type of a schema; `name` is what an object inside it would be called."""
        if "$ref" in schema:
            return self.name_of(schema["$ref"].rsplit("/", 1)[-1])
        if "const" in schema:
            return f"Literal[{schema['const']!r}]"
        if "enum" in schema:
            return "Literal[" + ", ".join(repr(value) for value in schema["enum"]) + "]"
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return _union([self.expression(name, one) for one in schema[choice]])
        if "type" not in schema:
            return "Any"
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return _union([self._of_kind(name, kind, schema) for kind in kinds])

    def _of_kind(self, name: str, kind: str, schema: dict[str, Any]) -> str:
        if kind in SCALARS:
            return SCALARS[kind]
        if kind == "array":
            return f"List[{self.expression(name + 'Item', schema['items'])}]"
        if kind != "object":
            raise Unknown(f"{name}: {kind}")
        further = schema.get("additionalProperties")
        if schema.get("properties") and not further:
            self._define_object(name, {**schema, "type": "object"})
            return name
        return (
            f"Dict[str, {self.expression(name + 'Value', further)}]" if isinstance(further, dict) else "Dict[str, Any]"
        )

    def _define_object(self, name: str, schema: dict[str, Any]) -> None:
        required = set(schema.get("required", []))
        members: dict[bool, list[str]] = {True: [], False: []}
        for member, inner in schema["properties"].items():
            if not member.isidentifier() or keyword.iskeyword(member):
                raise Unknown(f"{name}.{member} is no name in Python")
            kind = self.expression(name + _camel(member), inner)
            members[member in required].append(f"    {member}: {kind}\n{_docstring(inner, '    ')}")
        described = _docstring(schema, "    ") or f'    """Members of `{name}`."""\n'
        base, keyword_argument = "TypedDict", ""
        if members[True] and members[False]:
            # Two classes, since `NotRequired` came with Python 3.11.
            base = f"_{name}Always"
            self._add(base, f"class {base}(TypedDict):\n" + "\n".join(members[True]))
        if members[False] or not members[True]:
            keyword_argument = ", total=False"
        own = members[False] or members[True]
        self._add(name, f"class {name}({base}{keyword_argument}):\n{described}\n" + "\n".join(own))

    def _add(self, name: str, text: str) -> None:
        if name in self.names:
            raise Unknown(f"there are two types {name}")
        self.names.append(name)
        self.parts.append(text.rstrip() + "\n")


def _union(kinds: list[str]) -> str:
    different = list(dict.fromkeys(kinds))
    return different[0] if len(different) == 1 else "Union[" + ", ".join(different) + "]"


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.split("_"))


def _docstring(schema: dict[str, Any], indent: str) -> str:
    text = schema.get("description")
    if not text:
        return ""
    lines: list[str] = []
    for line in text.replace("\\", "\\\\").replace('"""', "'''").split("\n"):
        lines += textwrap.wrap(line, 110 - len(indent)) or [""]
    body = f"\n{indent}".join(lines)
    return f'{indent}"""{body}{chr(10) + indent if len(lines) > 1 else ""}"""\n'.replace(f"{indent}\n", "\n")


def _ordered(parts: dict[str, str], names: list[str]) -> list[str]:
    """Aliases are evaluated when the module is read, so they come after all that they name."""
    classes = [name for name in names if parts[name].startswith("class ")]
    aliases = [name for name in names if not parts[name].startswith("class ")]
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        head = parts[name].split('"""')[0]
        for other in aliases:
            if other != name and other in head.replace("[", " ").replace("]", " ").replace(",", " ").split():
                visit(other)
        done.append(name)

    for name in aliases:
        visit(name)
    return classes + done


def types_of(document: dict[str, Any], prefix: str) -> tuple[list[str], dict[str, str]]:
    """The types of a document: those of its schemas, and of the bodies that its operations take."""
    writer = Writer(prefix)
    for name, schema in document["components"]["schemas"].items():
        writer.define(writer.name_of(name), schema)
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation_id = operation["operationId"]
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                writer.define(writer.name_of(operation_id[0].upper() + operation_id[1:] + "Body"), schema)
    return writer.names, dict(zip(writer.names, writer.parts, strict=True))


def text_of(documents: Path) -> str:
    """The whole file."""
    names: list[str] = []
    parts: dict[str, str] = {}
    for directory, prefix in (("plexmcp", ""), ("mcp_cli", "Api")):
        document = json.loads((documents / directory / "openapi.json").read_text(encoding="utf-8"))
        further, text = types_of(document, prefix)
        if both := set(further) & set(names):
            raise Unknown(f"both documents have {sorted(both)}")
        names += further
        parts |= text
    public = sorted(name for name in names if not name.startswith("_"))
    exported = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in public) + "]\n"
    return "\n\n".join([HEAD + "\n" + exported, *(parts[name] for name in _ordered(parts, names))])


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Derives the types of the client from the OpenAPI documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the file has drifted")
    parser.add_argument("--documents", type=Path, default=DOCUMENTS, help="the directory with plexmcp/ and mcp_cli/")
    options = parser.parse_args()
    text = text_of(options.documents)
    if not options.check:
        OUTPUT.write_text(text, encoding="utf-8")
        return 0
    if OUTPUT.exists() and OUTPUT.read_text(encoding="utf-8") == text:
        return 0
    print(f"{OUTPUT.name} is not what the documents say: run generate.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
