"""dbt's artifacts of commits that nothing is compared with any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.core.logs import event
from include.delivery.deployment.artifacts import STAGE, known, remove
from include.delivery.deployment.databases import PRODUCTION, build_of
from include.retention.tables import Removed
from include.warehouse.connection import ConnectionSettings, connect

NEWEST = 10
"""So many commits keep theirs, however old: pull requests may begin at any of them."""


def remove_artifacts(settings: ConnectionSettings, days: int, *, dry_run: bool) -> Removed:
    """Delete the artifacts of old commits, or count them.

    Those of the newest commits stay, and of the one that production is built from.

    Args:
        settings: which warehouse.
        days: how old they may be.
        dry_run: only count.
    """
    oldest = datetime.now(UTC) - timedelta(days=days)
    old = [one.sha for one in known(settings)[NEWEST:] if one.stored_at < oldest]
    if old:
        with connect(settings) as connection, connection.cursor() as cursor:
            build = build_of(cursor, PRODUCTION)
        old = [sha for sha in old if build is None or sha != build.sha]
    if not dry_run:
        for sha in old:
            remove(settings, sha)
        event("retention.artifacts", commits=len(old), days=days)
    return Removed(f"@{STAGE}", len(old), days)
