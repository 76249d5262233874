"""The databases that the project uses, made where they are missing."""

from __future__ import annotations

from include.warehouse.connection import ConnectionSettings, connect

DATABASES = ("RAW", "ANALYTICS_DEV", "ANALYTICS_CI", "ANALYTICS")
LOCAL_DATABASES = ("SNOWFLAKE_SAMPLE_DATA",)
"""Shared with every account, so that only a local warehouse has to make it."""


def create_databases(settings: ConnectionSettings) -> None:
    """Create each database unless it exists."""
    names = DATABASES + (LOCAL_DATABASES if settings.is_local else ())
    with connect(settings=settings) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"create database if not exists {name}")
