"""Queries that are asked on every page: their SQL is made once, and each call only gives its values.

    open_of_user = Prepared(lambda: AccountClosure.objects.filter(user=Given("user"), closed_at=None)[:1])
    found = open_of_user(user=user.pk)

The ORM builds a queryset and its SQL anew each time, which costs about 1,500 Python calls, five times what fetching a
row costs. Rows come back as model instances, related ones of `select_related` included. What a call gives is a
parameter like any other, and the tenant scope stands in front of the statement as always.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from operator import itemgetter
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Expression, Model, QuerySet
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=Model)
_related_populators: Any = get_related_populators  # its stubs are of a later Django


class Given(Expression):
    """Stands in a prepared queryset for the value that each call gives by this name: an id, a moment, a text."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


class Prepared(Generic[M]):
    """`make` returns the queryset. It runs once, so it may not read the clock, a setting or the language."""

    def __init__(self, make: Callable[[], QuerySet[M]]) -> None:
        self._make = make

    def __call__(self, **values: Any) -> list[M]:
        plan = self._plan
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, [values[p.name] if isinstance(p, Given) else p for p in plan.params])
            return plan.instances(cursor.fetchall())

    def first(self, **values: Any) -> M | None:
        """The first row; the queryset should end with [:1]."""
        found = self(**values)
        return found[0] if found else None

    @cached_property
    def _plan(self) -> _Plan:
        return _Plan(self._make())


class _Plan:
    """The SQL of a queryset, and how its rows become instances: what ModelIterable works out for every query."""

    def __init__(self, queryset: Any) -> None:
        if queryset._prefetch_related_lookups:
            raise ValueError("a prepared query cannot prefetch: join, or ask separately")
        compiler = queryset.query.get_compiler(connection=connection)
        self.sql, self.params = compiler.as_sql()
        select, found = compiler.select, compiler.klass_info
        if found is None or compiler.annotation_col_map:
            raise ValueError("a prepared query returns models without annotations")
        fields = found["select_fields"]
        self._model = found["model"]
        self._own = itemgetter(slice(fields[0], fields[-1] + 1))
        self._names = [column[0].target.attname for column in self._own(select)]
        self._populators = _related_populators(found, select, connection.alias)
        self._converters = compiler.get_converters([column[0] for column in select])
        self._compiler = compiler

    def instances(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        converted = self._compiler.apply_converters(rows, self._converters) if self._converters else rows
        found = []
        for row in converted:
            instance = self._model.from_db(connection.alias, self._names, self._own(row))
            for populator in self._populators:
                populator.populate(row, instance)
            found.append(instance)
        return found
