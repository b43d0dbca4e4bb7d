"""What a difference is, and what is masked before texts are compared."""

import fnmatch
import re
from dataclasses import dataclass

SHOWN_OF_A_TEXT = 120


@dataclass(frozen=True)
class Difference:
    """Where something differs, and how."""

    at: str
    plain: str
    gateway: str

    def __str__(self):
        plain, gateway = _around_the_first_difference(self.plain, self.gateway)
        return f"{self.at}: a plain client sees {plain}, the gateway shows {gateway}"


class Masked:
    """Compares values at places, after what differs from run to run has been masked on both sides."""

    def __init__(self, masks):
        self._masks = masks

    def text(self, at, text):
        """A text with what the masks of this place fit replaced."""
        for mask in self._masks:
            if fnmatch.fnmatchcase(at, mask.at):
                text = re.sub(mask.pattern, lambda _, to=mask.to: to, text)
        return text

    def same(self, at, plain, gateway):
        """Yields the difference, if there is one. `None` is an absence, and not the text `None`."""
        masked = [None if side is None else self.text(at, side) for side in (plain, gateway)]
        if masked[0] != masked[1]:
            yield Difference(at, *("nothing" if side is None else side for side in masked))


def _around_the_first_difference(plain, gateway):
    """Both texts in quotes, long ones cut to where they begin to differ."""
    if max(len(plain), len(gateway)) <= SHOWN_OF_A_TEXT:
        return repr(plain), repr(gateway)
    same = next((at for at, (a, b) in enumerate(zip(plain, gateway)) if a != b), min(len(plain), len(gateway)))
    begin = max(0, same - SHOWN_OF_A_TEXT // 3)
    cut = slice(begin, begin + SHOWN_OF_A_TEXT)
    return tuple(f"{'…' if begin else ''}{side[cut]!r} (at {same} of {len(side)})" for side in (plain, gateway))
