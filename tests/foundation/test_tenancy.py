"""The scope, and what raw SQL may do in it: row-level security on real PostgreSQL."""

from __future__ import annotations

import uuid

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from accounts.models import ApiKey, Organization
from superagent.foundation import tenancy
from tests.fixtures.tenants import Pair, make_pair, new_key, visible

pytestmark = pytest.mark.django_db

REFUSED = "row-level security"
KEYS = "accounts_apikey"


@pytest.fixture
def pair(db: None) -> Pair:
    return make_pair()


def run(sql: str, *parameters: object) -> tuple[int, list[tuple[object, ...]]]:
    """Raw SQL, as an injection would send it: (rows touched, rows returned)."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount, cursor.fetchall() if cursor.description else []


class TestScope:
    def test_starts_with_none(self) -> None:
        assert tenancy.current() == tenancy.NONE
        assert tenancy.current().organization_id is None

    def test_takes_a_model_an_id_or_its_text(self, pair: Pair) -> None:
        for organization in (pair.a, pair.a.pk, str(pair.a.pk)):
            with tenancy.tenant(organization):
                assert tenancy.current().organization_id == pair.a.pk

    @pytest.mark.parametrize("value", ["", "1'; DROP TABLE x; --", None, 5, object()])
    def test_refuses_what_is_not_an_id(self, value: object) -> None:
        with pytest.raises(ValueError), tenancy.tenant(value):
            pass

    def test_refuses_another_tenant_inside_one(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            with pytest.raises(tenancy.CrossedTenants), tenancy.tenant(pair.b):
                pass
            with pytest.raises(tenancy.CrossedTenants):
                tenancy.activate(pair.b)
            assert tenancy.current().organization_id == pair.a.pk

    def test_may_enter_the_same_tenant_again(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), tenancy.tenant(pair.a):
            assert visible() == "aaa"

    def test_system_inside_a_tenant_ends_with_its_block(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            with tenancy.system("test"):
                assert visible() == "aaabbb"
            assert visible() == "aaa"

    def test_system_may_narrow_to_one_tenant_after_another(self, pair: Pair) -> None:
        with tenancy.system("test"):
            for organization, names in ((pair.a, "aaa"), (pair.b, "bbb")):
                with tenancy.tenant(organization):
                    assert visible() == names
            assert visible() == "aaabbb"

    def test_system_needs_a_reason(self) -> None:
        with pytest.raises(ValueError), tenancy.system(""):
            pass

    def test_is_restored_after_an_exception(self, pair: Pair) -> None:
        with pytest.raises(ZeroDivisionError), tenancy.tenant(pair.a):
            raise ZeroDivisionError
        assert tenancy.current() == tenancy.NONE

    def test_activated_scope_lasts_until_cleared(self, pair: Pair) -> None:
        tenancy.activate(pair.a)
        assert visible() == "aaa"
        tenancy.clear()
        assert visible() == ""

    def test_lazy_queryset_uses_the_scope_of_its_evaluation(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            lazy = ApiKey.objects.all()
        assert list(lazy) == []


class TestRawSql:
    def test_sees_nothing_without_a_scope(self, pair: Pair) -> None:
        assert run(f"SELECT * FROM {KEYS}") == (0, [])
        assert run("SELECT * FROM accounts_organization") == (0, [])

    def test_writes_nothing_without_a_scope(self, pair: Pair) -> None:
        assert run(f"UPDATE {KEYS} SET name = 'x'")[0] == 0
        assert run(f"DELETE FROM {KEYS}")[0] == 0
        with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
            new_key(pair.a, "x").save()
        with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
            Organization(name="x", email="x@x.example").save()

    def test_reads_only_its_own_rows(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            assert run(f"SELECT name FROM {KEYS}")[1] == [("a",)] * pair.rows
            assert run(f"SELECT name FROM {KEYS} WHERE organization_id = %s", pair.b.pk)[1] == []
            assert run(f"SELECT name FROM {KEYS} WHERE name = 'b' OR true")[1] == [("a",)] * pair.rows
            assert run(f"SELECT count(*) FROM {KEYS} x, {KEYS} y")[1] == [(pair.rows**2,)]
            assert run("SELECT name FROM accounts_organization")[1] == [("Acme",)]

    def test_cannot_insert_for_another_one(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
                new_key(pair.b, "x").save()
            with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
                run("INSERT INTO accounts_organization SELECT %s, 'x', 'x@x.example', false", uuid.uuid4())
            new_key(pair.a, "a").save()
            assert visible() == "aaaa"

    def test_cannot_update_or_delete_another_ones(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            assert run(f"UPDATE {KEYS} SET name = 'x' WHERE organization_id = %s", pair.b.pk)[0] == 0
            assert run(f"DELETE FROM {KEYS} WHERE organization_id = %s", pair.b.pk)[0] == 0
            assert run("UPDATE accounts_organization SET name = 'x' WHERE id = %s", pair.b.pk)[0] == 0
        with tenancy.tenant(pair.b):
            assert visible() == "bbb"

    def test_cannot_give_its_rows_away(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
            run(f"UPDATE {KEYS} SET organization_id = %s", pair.b.pk)

    def test_cannot_take_over_a_row_by_its_key(self, pair: Pair) -> None:
        with tenancy.system("test"):
            theirs = ApiKey.objects.filter(organization=pair.b).first()
            assert theirs
        stolen = new_key(pair.a, "stolen")
        stolen.pk = theirs.pk
        with tenancy.tenant(pair.a):
            with pytest.raises(IntegrityError), transaction.atomic():
                stolen.save()
            with pytest.raises(DatabaseError, match=REFUSED), transaction.atomic():
                ApiKey.objects.bulk_create(
                    [stolen], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
                )

    def test_may_not_truncate_or_change_tables(self, pair: Pair) -> None:
        for scope in (tenancy.tenant(pair.a), tenancy.system("test")):
            with scope:
                for sql in (f"TRUNCATE {KEYS} CASCADE", f"ALTER TABLE {KEYS} DISABLE ROW LEVEL SECURITY"):
                    with pytest.raises(ProgrammingError), transaction.atomic():
                        run(sql)

    def test_may_not_touch_what_is_for_the_system_only(self, pair: Pair) -> None:
        denied = pytest.raises(ProgrammingError, match="permission denied")
        with tenancy.tenant(pair.a), denied, transaction.atomic():
            run("SELECT * FROM djstripe_customer")
        with tenancy.system("test"):
            assert run("SELECT * FROM djstripe_customer")[1] == []

    def test_system_sees_and_writes_every_row(self, pair: Pair) -> None:
        with tenancy.system("test"):
            assert visible() == "aaabbb"
            assert run(f"UPDATE {KEYS} SET name = 'x'")[0] == 2 * pair.rows

    def test_system_rights_are_not_inherited(self, pair: Pair) -> None:
        assert run("SELECT pg_has_role('app_web', 'app_system', 'SET')")[1] == [(True,)]
        assert run("SELECT pg_has_role('app_web', 'app_system', 'USAGE')")[1] == [(False,)]
        assert run("SELECT pg_has_role('app_web', 'app_owner', 'MEMBER')")[1] == [(False,)]

    def test_index_serves_the_policy(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            run("SET LOCAL enable_seqscan = off")
            plan = "\n".join(str(line[0]) for line in run(f"EXPLAIN SELECT * FROM {KEYS}")[1])
        assert "Index Cond: (organization_id =" in plan
