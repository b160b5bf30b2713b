"""The scope goes with every way in which Django and psycopg send a statement, and with every end of a transaction."""

from __future__ import annotations

import contextlib

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg_pool import ConnectionPool

from accounts.models import ApiKey
from superagent.foundation import tenancy
from superagent.foundation.postgres.base import DatabaseWrapper
from tests.fixtures import database
from tests.fixtures.tenants import Pair, make_pair, new_key, visible

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = "SELECT name FROM accounts_apikey"


@pytest.fixture
def pair(transactional_db: None) -> Pair:
    return make_pair()


def left_on_connection() -> tuple[object, ...]:
    """Role and setting that the connection would carry to whoever uses it next."""
    plain = psycopg.Cursor(connection.connection)
    plain.execute(
        "SELECT current_user, session_user, coalesce(current_setting('app.organization_id', true), '')"
    )
    return plain.fetchone() or ()


CLEAN = ("app_web", "app_web", "")


class TestAlone:
    """Each statement a transaction of its own, as in a request."""

    def test_nothing_is_left_on_the_connection(self, pair: Pair) -> None:
        for scope in (tenancy.tenant(pair.a), tenancy.system("test"), tenancy.isolated()):
            with scope:
                ApiKey.objects.count()
                assert left_on_connection() == CLEAN

    def test_one_message_for_scope_and_statement(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), CaptureQueriesContext(connection) as queries:
            assert visible() == "aaa"
        assert len(queries) == 1
        assert queries[0]["sql"].startswith(f"SET LOCAL app.organization_id='{pair.a.pk}';SELECT ")

    def test_row_counts_and_columns_are_the_statements_own(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_apikey SET last_four = '1111'")
            assert (cursor.rowcount, cursor.description) == (pair.rows, None)
            cursor.execute("SELECT name, last_four FROM accounts_apikey LIMIT 1")
            assert [column.name for column in cursor.description] == ["name", "last_four"]
            assert cursor.fetchall() == [("a", "1111")]

    @pytest.mark.parametrize(
        "query",
        [NAMES, NAMES.encode(), psycopg.sql.SQL(NAMES), psycopg.sql.SQL("{}").format(psycopg.sql.SQL(NAMES))],
    )
    def test_text_bytes_and_composed_queries(self, pair: Pair, query: object) -> None:
        with tenancy.tenant(pair.a), connection.cursor() as cursor:
            cursor.execute(query)
            assert cursor.fetchall() == [("a",)] * pair.rows

    def test_percent_and_quotes_in_parameters(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            ApiKey.objects.update(name="100 % o'clock; SELECT 1; --")
            assert ApiKey.objects.filter(name__contains="% o'clock; SELECT").count() == pair.rows

    def test_iterator(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            assert [key.name for key in ApiKey.objects.iterator(chunk_size=1)] == ["a"] * pair.rows
        assert list(ApiKey.objects.iterator(chunk_size=1)) == []
        with tenancy.system("test"):
            assert len(list(ApiKey.objects.iterator(chunk_size=1))) == 2 * pair.rows

    def test_iterator_keeps_the_scope_in_which_it_began(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            rows = ApiKey.objects.iterator(chunk_size=1)
            names = [next(rows).name]
        with tenancy.tenant(pair.b):
            names += [key.name for key in rows]
        assert names == ["a"] * pair.rows

    def test_executemany(self, pair: Pair) -> None:
        update = "UPDATE accounts_apikey SET last_four = %s WHERE name = %s"
        with tenancy.tenant(pair.a), connection.cursor() as cursor:
            cursor.executemany(update, [("1111", "a"), ("2222", "b")])
            assert cursor.rowcount == pair.rows
        with connection.cursor() as cursor:
            cursor.executemany(update, [("3333", "a")])
            assert cursor.rowcount == 0
        with tenancy.system("test"):
            assert set(ApiKey.objects.values_list("name", "last_four")) == {("a", "1111"), ("b", "0000")}

    def test_bulk_create_and_bulk_update(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            ApiKey.objects.bulk_create([new_key(pair.a, "a") for _ in range(250)], batch_size=100)
            keys = list(ApiKey.objects.all())
            for key in keys:
                key.name = "c"
            assert ApiKey.objects.bulk_update(keys, ["name"], batch_size=100) == 250 + pair.rows
            with pytest.raises(DatabaseError, match="row-level security"):
                ApiKey.objects.bulk_create([new_key(pair.a, "a"), new_key(pair.b, "b")])
        with tenancy.tenant(pair.b):
            assert visible() == "bbb"

    def test_stream(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), connection.cursor() as cursor:
            assert list(cursor.cursor.stream(NAMES)) == [("a",)] * pair.rows
        with connection.cursor() as cursor:
            assert list(cursor.cursor.stream(NAMES)) == []

    def test_copy_out(self, pair: Pair) -> None:
        copy = f"COPY ({NAMES}) TO STDOUT"
        with tenancy.tenant(pair.a), connection.cursor() as cursor, cursor.copy(copy) as rows:
            assert list(rows.rows()) == [("a",)] * pair.rows
        with connection.cursor() as cursor, cursor.copy(copy) as rows:
            assert list(rows.rows()) == []

    def test_copy_in_is_for_the_system(self, pair: Pair) -> None:
        copy = "COPY foundation_outboxmessage (id) FROM STDIN"
        refused = pytest.raises(psycopg.errors.FeatureNotSupported)
        with tenancy.tenant(pair.a), connection.cursor() as cursor, refused, cursor.copy(copy):
            pass
        with tenancy.system("test"), connection.cursor() as cursor:
            with cursor.copy("COPY auth_group (name) FROM STDIN") as rows:
                rows.write_row(["editors"])
            cursor.execute("SELECT name FROM auth_group")
            assert cursor.fetchall() == [("editors",)]

    def test_after_an_error(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT 1/0")
            assert left_on_connection() == CLEAN
            assert visible() == "aaa"


class TestInATransaction:
    def test_each_statement_has_the_scope_of_its_moment(self, pair: Pair) -> None:
        with transaction.atomic():
            for _ in range(2):
                assert visible() == ""
                with tenancy.tenant(pair.a):
                    assert visible() == "aaa"
                with tenancy.system("test"):
                    assert visible() == "aaabbb"
                    with tenancy.tenant(pair.b):
                        assert visible() == "bbb"
                assert visible() == ""
        assert left_on_connection() == CLEAN

    def test_savepoints_and_errors(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a), transaction.atomic():
            with pytest.raises(DatabaseError), transaction.atomic(), tenancy.system("test"):
                assert visible() == "aaabbb"
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1/0")
            assert visible() == "aaa"
            with transaction.atomic():
                new_key(pair.a, "c").save()
            assert visible() == "aaac"
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                new_key(pair.a, "d").save()
                raise ZeroDivisionError
            assert visible() == "aaac"
        assert left_on_connection() == CLEAN

    def test_a_failed_transaction_stays_failed(self, pair: Pair) -> None:
        with (
            pytest.raises(psycopg.errors.InFailedSqlTransaction),
            tenancy.tenant(pair.a),
            transaction.atomic(),
        ):
            raw = connection.connection
            with pytest.raises(psycopg.errors.DivisionByZero):
                raw.execute("SELECT 1/0")
            raw.execute(NAMES)
        assert left_on_connection() == CLEAN

    def test_rollback(self, pair: Pair) -> None:
        with pytest.raises(ZeroDivisionError), tenancy.tenant(pair.a), transaction.atomic():
            ApiKey.objects.all().delete()
            raise ZeroDivisionError
        assert left_on_connection() == CLEAN
        with tenancy.tenant(pair.a):
            assert visible() == "aaa"

    def test_on_commit_runs_in_the_scope_at_commit(self, pair: Pair) -> None:
        seen: list[str] = []
        with tenancy.tenant(pair.a), transaction.atomic():
            transaction.on_commit(lambda: seen.append(visible()))
        with transaction.atomic(), tenancy.tenant(pair.a):
            transaction.on_commit(lambda: seen.append(visible()))
        assert seen == ["aaa", ""]

    def test_iterator_keeps_the_scope_in_which_it_began(self, pair: Pair) -> None:
        with transaction.atomic():
            with tenancy.tenant(pair.a):
                rows = ApiKey.objects.iterator(chunk_size=1)
                names = [next(rows).name]
            with tenancy.tenant(pair.b):
                assert visible() == "bbb"
                names.append(next(rows).name)
                assert visible() == "bbb"
            with tenancy.system("test"):
                names.append(next(rows).name)
                assert visible() == "aaabbb"
            assert list(rows) == []
            assert names == ["a"] * 3

    def test_executemany_stream_and_copy(self, pair: Pair) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            with tenancy.system("test"):
                assert visible() == "aaabbb"
            with tenancy.tenant(pair.a):
                cursor.executemany("UPDATE accounts_apikey SET last_four = %s", [("1111",), ("2222",)])
                assert cursor.rowcount == 2 * pair.rows
                assert len(list(cursor.cursor.stream(NAMES))) == pair.rows
                with cursor.copy(f"COPY ({NAMES}) TO STDOUT") as rows:
                    assert len(list(rows.rows())) == pair.rows
            assert list(cursor.cursor.stream(NAMES)) == []


class TestRefusedSettings:
    def test_server_side_binding(self) -> None:
        settings = {**connection.settings_dict, "OPTIONS": {"server_side_binding": True}}
        with pytest.raises(ImproperlyConfigured):
            DatabaseWrapper(settings).get_connection_params()

    def test_a_pipeline_fails_closed(self, pair: Pair) -> None:
        ApiKey.objects.count()
        raw = connection.connection
        refused = pytest.raises(psycopg.errors.SyntaxError)
        with refused, tenancy.tenant(pair.a), raw.pipeline(), raw.cursor() as cursor:
            cursor.execute(NAMES)
            cursor.fetchall()


class TestWithoutOurCursors:
    """A connection of app_web that sends no scope, or a broken one, sees nothing."""

    @pytest.mark.parametrize("value", ["", "0", "not-an-id", "%"])
    def test_a_broken_setting_shows_nothing(self, pair: Pair, value: str) -> None:
        refused = contextlib.suppress(psycopg.errors.InvalidTextRepresentation)
        with psycopg.connect(database.url()) as raw, refused:
            assert raw.execute(NAMES).fetchall() == []
            raw.execute("SELECT set_config('app.organization_id', %s, true)", [value])
            assert raw.execute(NAMES).fetchall() == []


def test_asking_whether_a_connection_lives_leaves_no_warning_in_the_log(pair: Pair) -> None:
    """The pool asks at each check-out, and PostgreSQL logs what it warns of."""
    told: list[str | None] = []
    connection.ensure_connection()
    connection.connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
    for scope in (tenancy.system("test"), tenancy.tenant(pair.a)):
        with scope:
            ConnectionPool.check_connection(connection.connection)
            with connection.cursor() as cursor:
                cursor.execute(NAMES)
    assert told == []
    assert left_on_connection() == CLEAN
