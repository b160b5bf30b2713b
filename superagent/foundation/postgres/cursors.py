"""Cursors that send the tenant scope with every statement (see superagent.foundation.tenancy).

Django binds parameters on the client, so `execute` uses PostgreSQL's simple protocol, where one message may
hold several statements and is one transaction: the scope costs no round trip. What speaks the extended
protocol (executemany, stream, COPY, named cursors) opens a transaction first. Psycopg's pipelines and
`server_side_binding` cannot carry a scope: there the server refuses the message, which is safe but useless,
so both stay off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from django.db.backends.postgresql.base import CursorMixin
from psycopg import ClientCursor, Connection, ServerCursor, sql
from psycopg.client_cursor import ClientCursorMixin
from psycopg.pq import TransactionStatus

from superagent.foundation import tenancy

if TYPE_CHECKING:
    from psycopg.abc import Params, Query, QueryNoTemplate
    from psycopg.copy import Copy, Writer


def prefixed(prefix: str, query: Query) -> QueryNoTemplate:
    if isinstance(query, str):
        return prefix + query
    if isinstance(query, bytes):
        return prefix.encode() + query
    if isinstance(query, sql.Composable):
        return sql.SQL(prefix) + query  # made of a constant and a UUID
    raise TypeError(f"cannot carry the tenant scope in front of {type(query).__name__}")


class Cursor(CursorMixin, ClientCursor[Any]):
    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        # The pool checks a connection with an empty query. A scope without a statement would bind
        # nothing, and PostgreSQL would write a warning into its log for each request.
        prefix, results = tenancy.prefix(self.connection) if query else ("", 0)
        super().execute(prefixed(prefix, query), params, prepare=prepare, binary=binary)
        for _ in range(results):
            self.nextset()  # steps over the results of the prefix; no round trip
        return self

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        with self._scope_in_transaction():
            super().executemany(query, params_seq, returning=returning)

    def stream(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, size: int = 1
    ) -> Iterator[Any]:
        with self._scope_in_transaction():
            yield from super().stream(query, params, binary=binary, size=size)

    @contextmanager
    def copy(
        self, statement: Query, params: Params | None = None, *, writer: Writer | None = None
    ) -> Iterator[Copy]:
        with self._scope_in_transaction(), super().copy(statement, params, writer=writer) as copy:
            yield copy

    @contextmanager
    def _scope_in_transaction(self) -> Iterator[None]:
        """Send the scope on its own, in a transaction that lasts for what follows."""
        connection = self.connection
        starts_clean = (
            connection.autocommit and connection.pgconn.transaction_status == TransactionStatus.IDLE
        )
        if not starts_clean:
            self._send_scope()
            yield
        elif tenancy.current() == tenancy.NONE:
            yield
        else:
            with connection.transaction():
                self._send_scope()
                yield

    def _send_scope(self) -> None:
        prefix, _ = tenancy.prefix(self.connection)
        if prefix:
            super().execute(prefix)


class ServerSideCursor(CursorMixin, ClientCursorMixin[Connection[Any], Any], ServerCursor[Any]):
    """A named cursor keeps the scope in which it was declared, whatever the scope of its later fetches."""

    _scope = tenancy.NONE

    def execute(
        self, query: Query, params: Params | None = None, *, binary: bool | None = None, **kwargs: Any
    ) -> Self:
        self._scope = tenancy.current()
        # WITH HOLD: the end of this transaction computes all rows, still in the scope, and keeps them for the
        # fetches.
        with Cursor(self.connection)._scope_in_transaction():
            return super().execute(query, params, binary=binary, **kwargs)

    def fetchone(self) -> Any:
        self._restore_scope()
        return super().fetchone()

    def fetchmany(self, size: int = 0) -> list[Any]:
        self._restore_scope()
        return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        self._restore_scope()
        return super().fetchall()

    def __next__(self) -> Any:
        self._restore_scope()
        return super().__next__()

    def _restore_scope(self) -> None:
        if self.connection.pgconn.transaction_status == TransactionStatus.INTRANS and not self.withhold:
            prefix, _ = self._scope.prefix(self.connection)
            ClientCursor(self.connection).execute(prefix)
