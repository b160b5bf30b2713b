"""Whose rows a statement may see: the tenant scope, carried to PostgreSQL in front of every statement.

A scope is none, one organization, or the system. The cursors of `superagent.foundation.postgres` ask
`prefix()` what to send in front of a statement, in the same message: `SET LOCAL
app.organization_id='…';SELECT …`. The setting ends with the transaction, so nothing is left on a connection
that goes back to a pool, and a path that opened no scope sees nothing. Row-level security
(`superagent.foundation.row_security`) does the rest.

    with tenancy.tenant(organization), transaction.atomic(): ...   # on_commit runs in the scope at commit
    with tenancy.system("nightly rollup"): ...

A scope lives in a ContextVar: a new thread starts with none, an asyncio task and `asyncio.to_thread` inherit
it. Lazy querysets use the scope in which they are evaluated. A generator must not open a scope around a
`yield`, because its consumer would run in it: give the generator to `carry` instead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal, overload
from uuid import UUID

from celery import Task
from psycopg import Connection
from psycopg.pq import TransactionStatus

SETTING = "app.organization_id"
SYSTEM_ROLE = "app_system"
TASK_HEADER = "organization_id"


class CrossedTenants(RuntimeError):
    """Code running for one organization tried to enter the scope of another."""


class TenantScope:
    """What a statement may see, with the SQL that tells PostgreSQL so."""

    __slots__ = ("_alone", "_inside", "kind", "value")

    def __init__(self, kind: Literal["none", "tenant", "system"], value: str = "") -> None:
        self.kind = kind
        self.value = value  # the organization's id, or the reason for the system scope
        # `value` of a tenant is made by str(UUID(...)), so it is safe inside quotes.
        organization = f"SET LOCAL {SETTING}='{value if kind == 'tenant' else ''}';"
        system = (f"SET LOCAL ROLE {SYSTEM_ROLE};", 1)
        if kind == "system":
            self._alone = self._inside = system
        else:
            # A statement alone is a transaction of its own, which starts clean; inside a longer one, what an
            # earlier scope set must be undone.
            self._alone = (organization, 1) if kind == "tenant" else ("", 0)
            self._inside = (f"SET LOCAL ROLE NONE;{organization}", 2)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TenantScope) and (self.kind, self.value) == (other.kind, other.value)

    def __hash__(self) -> int:
        return hash((self.kind, self.value))

    def __repr__(self) -> str:
        return f"<TenantScope {self.kind} {self.value}>"

    @property
    def organization_id(self) -> UUID | None:
        return UUID(self.value) if self.kind == "tenant" else None

    def prefix(self, connection: Connection[Any]) -> tuple[str, int]:
        """Returns the SQL to send before a statement, and the number of results to skip."""
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            return "", 0  # only ROLLBACK may follow, and it may not share its message
        if connection.autocommit and status == TransactionStatus.IDLE:
            return self._alone
        return self._inside


NONE = TenantScope("none")
_scope: ContextVar[TenantScope] = ContextVar("tenancy", default=NONE)


def current() -> TenantScope:
    return _scope.get()


def prefix(connection: Connection[Any]) -> tuple[str, int]:
    """Returns what the cursors of our database backend send before a statement in the current scope."""
    return _scope.get().prefix(connection)


@contextmanager
def tenant(organization: object) -> Iterator[None]:
    """Run in the scope of one organization (a model, or its id). Raises CrossedTenants inside the scope of another."""
    with _entered(_tenant_scope(organization)):
        yield


@contextmanager
def system(reason: str) -> Iterator[None]:
    """Run with access to every row: for the admin, jobs, webhooks and look-ups that precede a tenant.

    `reason` is for readers: `tenancy.system(` finds every such exception.
    """
    if not reason:
        raise ValueError("the system scope needs a reason")
    with _entered(TenantScope("system", reason)):
        yield


def activate(organization: object) -> None:
    """Enter an organization's scope until `clear()`, which the outermost middleware calls when the request ends."""
    _scope.set(_tenant_scope(organization))


def clear() -> None:
    _scope.set(NONE)


@contextmanager
def isolated() -> Iterator[None]:
    """Start with no scope and restore the caller's afterwards: around a task, a job, a message."""
    with _entered(NONE):
        yield


@overload
def carry(streaming_content: AsyncIterator[Any]) -> AsyncIterator[Any]: ...
@overload
def carry(streaming_content: Iterator[Any]) -> Iterator[Any]: ...
def carry(streaming_content: Any) -> Any:
    """Produce every part of a stream in the scope of its caller, whose request has ended by then."""
    if hasattr(streaming_content, "__aiter__"):
        return _carry_async(streaming_content.__aiter__(), _scope.get())
    return _carry(iter(streaming_content), _scope.get())


def _carry(parts: Iterator[Any], scope: TenantScope) -> Iterator[Any]:
    try:
        while True:
            with _entered(scope):
                try:
                    part = next(parts)
                except StopIteration:
                    return
                scope = _scope.get()  # the generator may have entered a scope of its own around this part
            yield part
    finally:
        if hasattr(parts, "close"):
            with _entered(scope):
                parts.close()


async def _carry_async(parts: AsyncIterator[Any], scope: TenantScope) -> AsyncIterator[Any]:
    try:
        while True:
            with _entered(scope):
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    return
                scope = _scope.get()
            yield part
    finally:
        if hasattr(parts, "aclose"):
            with _entered(scope):
                await parts.aclose()


@contextmanager
def _entered(scope: TenantScope) -> Iterator[None]:
    # No tokens: the end of an async stream may run in another context than its start.
    previous = _scope.get()
    _scope.set(scope)
    try:
        yield
    finally:
        _scope.set(previous)


def _tenant_scope(organization: object) -> TenantScope:
    scope = _scope_of(getattr(organization, "pk", organization))
    inside = _scope.get()
    if inside.kind == "tenant" and inside.value != scope.value:
        raise CrossedTenants(f"organization {scope.value} inside the scope of organization {inside.value}")
    return scope


@lru_cache(maxsize=4096)
def _scope_of(organization_id: object) -> TenantScope:
    return TenantScope("tenant", str(UUID(str(organization_id))))


class TenantTask(Task):
    """A Celery task that runs in the scope in which it was sent.

    Sent in a tenant's scope, it carries the organization in its headers and runs in that scope, retries included. Sent
    in any other scope it starts with none and opens `system()` or `tenant()` itself.
    """

    abstract = True

    def apply_async(self, *args: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
        headers = dict(headers or {})
        scope = _scope.get()
        if scope.kind == "tenant":
            headers[TASK_HEADER] = scope.value
        return super().apply_async(*args, headers=headers, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        organization = self.request.get(TASK_HEADER) or (self.request.headers or {}).get(TASK_HEADER)
        with _entered(NONE), tenant(organization) if organization else nullcontext():
            return super().__call__(*args, **kwargs)
