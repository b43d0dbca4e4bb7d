"""JSON of which the text of each value is kept.

A comparison to the byte must not go through parsed values: they know neither blanks, nor how
a character or a number was written. Everything here takes and returns text.
"""

import json

_DECODER = json.JSONDecoder()
_BLANKS = " \t\n\r"


def members(text):
    """The members of an object as `{name: text of the value}`; of a repeated name the last one.

    Raises ValueError when the text is not exactly one object.
    """
    return dict(_members(text))


def elements(text):
    """The texts of the elements of an array. Raises ValueError when it is not exactly one array."""
    found = []
    at = _after(text, 0, "[")
    if _closes(text, at, "]"):
        return found
    while True:
        value, at = _value(text, at)
        found.append(value)
        at, last = _next(text, at, "]")
        if last:
            return found


def value(text):
    """What a text of JSON means, `None` for no text."""
    return None if text is None else json.loads(text)


def without_leading_member(text, name):
    """An object's text without its first member, when that has this name; else the text itself."""
    entries = _members(text)
    if not entries or entries[0][0] != name:
        return text
    at = text.index("{") + 1
    _, at = _DECODER.raw_decode(text, _skip(text, at))
    _, at = _value(text, _after(text, at, ":"))
    at, last = _next(text, at, "}")
    return "{}" if last else "{" + text[_skip(text, at):].rstrip(_BLANKS)


def _members(text):
    found = []
    at = _after(text, 0, "{")
    if _closes(text, at, "}"):
        return found
    while True:
        name, at = _DECODER.raw_decode(text, _skip(text, at))
        if not isinstance(name, str):
            raise ValueError("the name of a member is no text")
        raw, at = _value(text, _after(text, at, ":"))
        found.append((name, raw))
        at, last = _next(text, at, "}")
        if last:
            return found


def _value(text, at):
    begin = _skip(text, at)
    _, end = _DECODER.raw_decode(text, begin)
    return text[begin:end], end


def _next(text, at, closing):
    """Behind a value: where the next one begins, or that the whole is over."""
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return at + 1, False
    if not _closes(text, at, closing):
        raise ValueError(f"neither ',' nor only '{closing}' at {at}")
    return at, True


def _closes(text, at, closing):
    at = _skip(text, at)
    return text[at : at + 1] == closing and not text[at + 1 :].strip(_BLANKS)


def _after(text, at, expected):
    at = _skip(text, at)
    if text[at : at + 1] != expected:
        raise ValueError(f"no '{expected}' at {at}")
    return at + 1


def _skip(text, at):
    while text[at : at + 1] and text[at] in _BLANKS:
        at += 1
    return at
