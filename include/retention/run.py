"""Maintenance as a whole, in the parts that the DAG has as tasks."""

from __future__ import annotations

from include.core.settings import Retention
from include.retention import staged, tables
from include.retention.artifacts import remove_artifacts
from include.retention.files import remove_files, retained_files
from include.retention.tables import Removed, retained_tables
from include.warehouse.connection import ConnectionSettings, connect, get_settings


def clear_tables(*, dry_run: bool, settings: ConnectionSettings | None = None) -> list[Removed]:
    """Delete old rows of the books and of Elementary's tables, or count them.

    Raises:
        ConfigurationError: a setting is no number of days.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    settings = settings or get_settings()
    chosen = retained_tables(Retention(), settings)
    of_raw = [table for table in chosen if table.name.startswith("RAW.")]
    others = [table for table in chosen if table not in of_raw]
    tag = {"maintenance": "tables"}
    clear = tables.plan if dry_run else tables.apply
    with (
        connect(settings, database="RAW", as_loader=True, query_tag=tag) as connection,
        connection.cursor() as cursor,
    ):
        removed = clear(cursor, of_raw)
    with connect(settings, query_tag=tag) as connection, connection.cursor() as cursor:
        return removed + clear(cursor, others)


def clear_stage(*, dry_run: bool, settings: ConnectionSettings | None = None) -> list[Removed]:
    """Remove what abandoned attempts have left in the warehouse, and old artifacts, or count them.

    Raises:
        ConfigurationError: a setting is no number of days.
        WarehouseUnreachableError: the warehouse takes no connection.
    """
    settings = settings or get_settings()
    days = Retention().firn_keep_artifacts_days
    with (
        connect(
            settings,
            database="RAW",
            as_loader=True,
            query_tag={"maintenance": "stage"},
        ) as connection,
        connection.cursor() as cursor,
    ):
        removed = staged.remove_staged(cursor, dry_run=dry_run)
    return [*removed, remove_artifacts(settings, days, dry_run=dry_run)]


def clear_files(*, dry_run: bool, settings: ConnectionSettings | None = None) -> list[Removed]:
    """Delete old files on this machine, or count them.

    Raises:
        ConfigurationError: a setting is no number of days.
        OSError: a file cannot be deleted.
    """
    return remove_files(retained_files(Retention(), settings or get_settings()), dry_run=dry_run)
