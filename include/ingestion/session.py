"""The raw database for a load: how patiently it is asked, and what its failures are called."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from snowflake.connector.errors import Error as SnowflakeError
from snowflake.connector.errors import OperationalError

from include.ingestion.errors import (
    IngestionError,
    shown,
)
from include.ingestion.raw import Raw
from include.ingestion.sources import Source
from include.warehouse.connection import (
    ConnectionSettings,
    WarehouseUnreachableError,
    connect,
)

PATIENCE_SECONDS = 60.0
"""How long a warehouse that does not answer is asked again."""


def _patience() -> Iterator[float]:
    """The pauses between two tries of a request, until it is given up."""
    waited, pause = 0.0, 0.5
    while waited < PATIENCE_SECONDS:
        yield pause
        waited += pause
        pause = min(2 * pause, 10.0)
    raise OperationalError(msg=f"no answer for {waited:.0f} seconds, tried again and again")


@contextmanager
def open_raw(source: Source, settings: ConnectionSettings) -> Iterator[Raw]:
    """The raw database, whose failures become one sentence."""
    try:
        with connect(
            settings,
            database="RAW",
            as_loader=True,
            query_tag={"load": source.title},
            # The connector would ask a warehouse that is gone for ever, and its network_timeout
            # would cancel long statements as well.
            backoff_policy=_patience,
        ) as connection:
            yield Raw(connection, source)
    except SnowflakeError as error:
        said = shown(str(error.raw_msg or error), 300)
        raise IngestionError(
            f"{source.title}: the warehouse failed ({said}). What was committed stays, the rest "
            "is loaded by running again."
        ) from error
    except (WarehouseUnreachableError, IngestionError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "the disk is full: make room and run again"
        else:
            cure = f"{error.strerror or error}: run again when that is repaired"
        raise IngestionError(f"{source.title}: {cure}; nothing is loaded twice.") from error
