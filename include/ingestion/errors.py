"""What can go wrong with a delivery, each as one sentence that says what to do."""

from __future__ import annotations

from include.core.errors import UserError


class IngestionError(UserError):
    """Loading cannot go on; the message says why and what to do. Running again is always safe."""


class DeclarationError(IngestionError):
    """A source is declared wrongly, or is not declared at all."""


class MissingDeliveryError(IngestionError):
    """A source that must deliver has not."""


class TakenOverError(IngestionError):
    """Another loader works on the same file now; this one has given it up and changed nothing."""


class RefusedError(IngestionError):
    """A file is refused whole: nothing of it is loaded.

    Attributes:
        line: where in the file, counted from 1; None if that says nothing.
        column: the column's name, or its place counted from 1.
    """

    def __init__(
        self, message: str, *, line: int | None = None, column: str | int | None = None
    ) -> None:
        super().__init__(message)
        self.line = line
        self.column = column

    def sentence(self, name: str) -> str:
        """The whole sentence, beginning with file, line and column."""
        place = [shown(name)]
        if self.line is not None:
            place.append(f"line {self.line}")
        if self.column is not None:
            place.append(f"column {self.column}")
        return f"{', '.join(place)}: {self}"


def shown(text: str, limit: int = 120) -> str:
    """Text of a delivery as it may stand in a message: one line, printable, of limited length."""
    clean = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[: limit + 1]
    )
    return clean if len(clean) <= limit else f"{clean[:limit]}…"
