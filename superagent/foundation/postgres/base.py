"""The database wrapper: Django's own, with our cursors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, operations
from django.db.backends.postgresql.psycopg_any import register_tzloader
from django.utils.asyncio import async_unsafe
from psycopg.pq import Format

from superagent.foundation.postgres.cursors import Cursor, ServerSideCursor


class DatabaseOperations(operations.DatabaseOperations):
    def adapt_datetimefield_value(self, value: Any) -> Any:
        """Convert to UTC: PostgreSQL refuses offsets of 16 hours and more, which Python and RFC 3339 allow."""
        if isinstance(value, datetime) and value.tzinfo not in (None, UTC):
            value = value.astimezone(UTC)
        return super().adapt_datetimefield_value(value)


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations

    def get_connection_params(self) -> dict[str, Any]:
        if self.settings_dict["OPTIONS"].get("server_side_binding"):
            raise ImproperlyConfigured("server_side_binding cannot carry the tenant scope: leave it off")
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    @async_unsafe
    def create_cursor(self, name: str | None = None) -> Any:
        if not name:
            return super().create_cursor()
        cursor = ServerSideCursor(
            self.connection, name=name, scrollable=False, withhold=self.connection.autocommit
        )
        loader = self.connection.adapters.get_loader(base.TIMESTAMPTZ_OID, Format.TEXT)
        if self.timezone != loader.timezone:
            register_tzloader(self.timezone, cursor)
        return cursor
