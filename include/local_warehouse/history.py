"""What clients asked the local warehouse to do, as a file of JSON lines.

The columns are those of Snowflake's QUERY_HISTORY. Values that were bound are not in it, and only
the owner of the data folder can read it. Of the oldest statements nothing is kept.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session

BYTES = 32 * 1024**2
"""Size of a file; when it is full, it replaces the one before it, and a new one begins."""

LONGEST_TEXT = 100_000
"""Characters of a statement, as in Snowflake's QUERY_HISTORY."""


def history_file(folder: Path) -> Path:
    """The file of a data folder; the statements before those in it are in `<name>.1`."""
    return folder / "statements.jsonl"


class History:
    """The open file of a data folder's statements."""

    def __init__(self, folder: Path) -> None:
        self._file = RotatingFileHandler(
            history_file(folder), maxBytes=BYTES, backupCount=1, encoding="utf-8"
        )

    def write(
        self, session: Session, sql: str, began: datetime, seconds: float, answer: dict[str, Any]
    ) -> None:
        """Append one statement that has ended."""
        data = answer.get("data") or {}
        good = bool(answer["success"])
        line = {
            "query_id": data.get("queryId"),
            "query_text": sql[:LONGEST_TEXT],
            "query_tag": str(session.parameters.get("QUERY_TAG") or ""),
            "user_name": session.user,
            "role_name": session.role,
            "warehouse_name": session.warehouse,
            "database_name": session.database,
            "schema_name": session.schema if session.schema_set else None,
            "start_time": began.isoformat(),
            "total_elapsed_time": round(seconds * 1000, 3),
            "rows_produced": data.get("total"),
            "execution_status": "SUCCESS" if good else "FAIL",
            "error_code": None if good else answer.get("code"),
            "error_message": None if good else answer.get("message"),
        }
        record = logging.LogRecord(
            "statement", logging.INFO, "", 0, json.dumps(line, ensure_ascii=False), None, None
        )
        self._file.emit(record)

    def close(self) -> None:
        """Write what is not written yet."""
        self._file.close()
