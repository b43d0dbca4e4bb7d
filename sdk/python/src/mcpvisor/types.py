"""Types of what the daemon takes and answers, for annotations; names of `/api` begin with `Api`."""

from ._types import *  # noqa: F403
from ._types import __all__ as __all__
