"""Introspection: every relation that app_web may touch is walled, or says why it is not."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connection, models, transaction
from django.test.utils import isolate_apps

from billing.models import CheckoutSession, Order
from superagent.foundation import row_security, tenancy
from superagent.foundation.row_security import Published, Shared, SystemOnly, Walled
from tests.fixtures.tenants import Pair, make_pair

pytestmark = pytest.mark.django_db

TOUCHABLE = """
    SELECT c.relname, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
           coalesce('security_invoker=true' = ANY(c.reloptions), false),
           ARRAY(SELECT p.polname::text || ' ' || p.polcmd::text || ' ' || p.polpermissive::text
                 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['app_web'::regrole::oid]),
           ARRAY(SELECT p FROM unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES',
                 'TRIGGER']) p WHERE has_table_privilege('app_web', c.oid, p))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg_toast%' AND n.nspname NOT LIKE 'pg_temp%'
"""
A_REASON = 15  # characters at least


@pytest.fixture
def pair() -> Pair:
    return make_pair()


def relations() -> list[dict[str, object]]:
    names = ("name", "kind", "enabled", "forced", "partition", "invoker", "policies", "rights")
    with connection.cursor() as cursor:
        cursor.execute(TOUCHABLE)
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_every_touchable_relation_is_walled_or_says_why_not() -> None:
    unwalled = []
    tables = row_security.tables()
    for relation in relations():
        name, rights = str(relation["name"]), relation["rights"]
        if not rights or (relation["kind"] == "v" and relation["invoker"]):
            continue
        access = row_security.access_of(tables[name]) if name in tables else None
        policies = set(relation["policies"]) - {"tenant_of_parents * false"}  # it only takes away
        is_walled = relation["enabled"] and relation["forced"] and policies == {"tenant * true"}
        if isinstance(access, Walled) and is_walled and not relation["partition"]:
            continue
        if isinstance(access, Shared | Published) and set(rights) == access.rights:
            continue
        unwalled.append((name, rights, access))
    assert unwalled == []


def test_every_table_is_as_its_model_says() -> None:
    found = {relation["name"]: relation for relation in relations()}
    for table, model in row_security.tables().items():
        access = row_security.access_of(model)
        assert access is not None, f"{table} says nothing"
        assert set(found[table]["rights"]) == access.rights, table
        assert found[table]["enabled"] is isinstance(access, Walled), table
        if not isinstance(access, Walled):
            assert len(access.reason) >= A_REASON, table


def test_walled_columns_are_indexed_and_not_empty_by_mistake() -> None:
    """An index must begin with the column, or every statement of a tenant reads the whole table."""
    for table, model in row_security.tables().items():
        access = row_security.access_of(model)
        if isinstance(access, Walled):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
                    " AND a.attnum = i.indkey[0] WHERE i.indrelid = %s::regclass AND a.attname = %s",
                    [table, access.column],
                )
                assert cursor.fetchone() != (0,), f"{table} needs an index that begins with {access.column}"


def test_foreign_keys_lead_to_rows_of_the_same_organization() -> None:
    """PostgreSQL checks a foreign key past row-level security: only a policy keeps it inside the organization."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'tenant_of_parents'")
        guarded = {name for (name,) in cursor.fetchall()}
    wanted = set()
    for table, model in row_security.tables().items():
        access = row_security.access_of(model)
        if isinstance(access, Walled) and row_security.parents_expression(model, access):
            wanted.add(table)
    assert {"licensing_activation", "billing_orderitem", "billing_checkoutsession"} <= wanted
    assert guarded == wanted


def test_a_row_cannot_be_hung_below_one_of_another_organization(pair: Pair) -> None:
    with tenancy.tenant(pair.b):
        foreign = Order.objects.create(organization=pair.b, payment="checkout", total=900, currency="usd")
    with tenancy.tenant(pair.a):
        own = Order.objects.create(organization=pair.a, payment="checkout", total=900, currency="usd")
        with pytest.raises(ProgrammingError, match="tenant_of_parents"), transaction.atomic():
            CheckoutSession.objects.create(organization=pair.a, order=foreign, stripe_id="cs_1")
        made = CheckoutSession.objects.create(organization=pair.a, order=own, stripe_id="cs_2")
        with pytest.raises(ProgrammingError, match="tenant_of_parents"), transaction.atomic():
            CheckoutSession.objects.filter(pk=made.pk).update(order=foreign)
    with tenancy.system("test"):
        assert CheckoutSession.objects.get().order == own


def test_third_party_tables_have_their_reasons_in_one_place() -> None:
    tables = row_security.tables()
    assert isinstance(row_security.access_of(tables["djstripe_customer"]), SystemOnly)
    assert isinstance(row_security.access_of(tables["django_admin_log"]), SystemOnly)
    assert isinstance(row_security.access_of(tables["django_session"]), Shared)
    known = {model._meta.app_label for model in tables.values()} | set(tables)
    assert set(row_security.THIRD_PARTY) <= known, "an entry for an app that is not installed"


def test_roles_have_no_more_than_they_need() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcanlogin FROM pg_roles"
            " WHERE rolname LIKE 'app\\_%%' ORDER BY rolname"
        )
        assert cursor.fetchall() == [
            ("app_owner", False, True, False, True),
            ("app_system", False, True, False, False),
            ("app_web", False, False, False, True),
        ]
        cursor.execute("SELECT has_schema_privilege('app_web', 'public', 'CREATE')")
        assert cursor.fetchone() == (False,)
        cursor.execute("SELECT current_user, session_user")
        assert cursor.fetchone() == ("app_web", "app_web")


@isolate_apps("superagent.foundation")  # it is forgotten afterwards
def test_a_model_that_says_nothing_fails_the_check_and_gets_no_rights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Undeclared(models.Model):
        class Meta:
            app_label = "foundation"
            managed = False

        def __str__(self) -> str:
            return ""

    assert row_security.access_of(Undeclared) is None
    monkeypatch.setattr(row_security, "tables", lambda: {"foundation_undeclared": Undeclared})
    assert [error.id for error in row_security.check_every_table_is_declared()] == ["foundation.E001"]


def test_applying_again_under_app_web_does_nothing() -> None:
    row_security.apply(using="default")
