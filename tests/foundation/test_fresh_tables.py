"""The short way to dj-stripe's tables is taken only where it cannot differ from the long one."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations import Migration, operations

from superagent.foundation.fresh_tables import CHANGES_TABLES_ONLY, FreshTablesExecutor

pytestmark = pytest.mark.django_db

LABEL = "djstripe"


@pytest.fixture
def executor(system_scope: None) -> FreshTablesExecutor:
    return FreshTablesExecutor(connection)


def whole_plan(executor: FreshTablesExecutor) -> list[tuple[Migration, bool]]:
    return executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)


def test_a_new_database_takes_the_short_way(executor: FreshTablesExecutor) -> None:
    last = executor._last_if_fresh(LABEL, whole_plan(executor))
    assert last is not None
    assert (LABEL, last.name) in executor.loader.graph.leaf_nodes(LABEL)


def test_an_upgrade_takes_the_long_way(executor: FreshTablesExecutor) -> None:
    plan = whole_plan(executor)
    first = next(step for step in plan if step[0].app_label == LABEL)
    plan.remove(first)
    assert executor._last_if_fresh(LABEL, plan) is None


def test_a_migration_that_moves_data_takes_the_long_way(executor: FreshTablesExecutor) -> None:
    plan = whole_plan(executor)
    last = executor._last_if_fresh(LABEL, plan)
    assert last is not None
    last.operations = [*last.operations, operations.RunPython(operations.RunPython.noop)]
    assert executor._last_if_fresh(LABEL, plan) is None


def test_another_app_that_needs_a_half_way_state_takes_the_long_way(executor: FreshTablesExecutor) -> None:
    plan = whole_plan(executor)
    first = next(index for index, (migration, _) in enumerate(plan) if migration.app_label == LABEL)
    between = Migration("0001_between", "between")
    between.dependencies = [(LABEL, "0001_initial")]
    plan.insert(first + 1, (between, False))
    assert executor._last_if_fresh(LABEL, plan) is None


def test_the_tables_are_the_ones_that_the_models_say(system_scope: None) -> None:
    """What the test database was made by: every column of every model of dj-stripe is there, and no other."""
    with connection.cursor() as cursor:
        for model in apps.get_app_config(LABEL).get_models(include_auto_created=True):
            if model._meta.managed and not model._meta.proxy:
                found = connection.introspection.get_table_description(cursor, model._meta.db_table)
                wanted = {field.column for field in model._meta.local_concrete_fields}
                assert {column.name for column in found} == wanted, model


def test_only_table_changes_are_named() -> None:
    for kind in (operations.RunPython, operations.RunSQL, operations.SeparateDatabaseAndState):
        assert not issubclass(kind, CHANGES_TABLES_ONLY)
