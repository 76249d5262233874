"""What ends a command of this package."""

from __future__ import annotations

from include.core.errors import UserError


class CiError(UserError):
    """The command cannot do its work; the message is a sentence that says why and what to do."""
