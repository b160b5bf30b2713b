"""Prepared queries: the SQL of a queryset made once, run with each call's values in the scope of the call."""

import pytest
from django.db.models import Count
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, Organization
from superagent.foundation import tenancy
from superagent.foundation.prepared import Given, Prepared
from tests.fixtures.tenants import Pair, make_pair

KEYS: Prepared[ApiKey] = Prepared(
    lambda: (
        ApiKey.objects.filter(organization=Given("organization"))
        .select_related("organization", "created_by")
        .order_by("-id")
    )
)


@pytest.fixture
def pair(db: None) -> Pair:
    return make_pair()


def test_each_call_gives_its_own_values(
    pair: Pair, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for organization in (pair.a, pair.b, pair.a):
        with tenancy.system("test"):
            with django_assert_num_queries(1):
                keys = KEYS(organization=organization.pk)
                assert {key.organization.name for key in keys} == {organization.name}
                assert {key.created_by for key in keys} == {None}
            assert keys == list(ApiKey.objects.filter(organization=organization).order_by("-id"))


def test_the_tenant_scope_of_the_call_holds(pair: Pair) -> None:
    """The plan was made in another scope: what it may see is decided when it runs."""
    with tenancy.system("test"):
        assert KEYS(organization=pair.b.pk)
    with tenancy.tenant(pair.a):
        assert KEYS(organization=pair.b.pk) == []
        assert len(KEYS(organization=pair.a.pk)) == pair.rows
    assert KEYS(organization=pair.a.pk) == []


@pytest.mark.parametrize("text", ["'; DROP TABLE accounts_apikey; --", "%s", "100%", "\\'"])
def test_a_value_is_never_sql(pair: Pair, text: str) -> None:
    named: Prepared[ApiKey] = Prepared(lambda: ApiKey.objects.filter(name=Given("name"))[:1])
    with tenancy.system("test"):
        assert named.first(name=text) is None
        ApiKey.objects.filter(organization=pair.a).update(name=text)
        found = named.first(name=text)
        assert found is not None
        assert found.name == text


def test_values_come_back_as_the_orm_gives_them(pair: Pair) -> None:
    """Arrays, moments and ids are converted alike, and an instance can be saved."""
    one: Prepared[ApiKey] = Prepared(lambda: ApiKey.objects.filter(pk=Given("key")))
    with tenancy.system("test"):
        expected = ApiKey.objects.filter(organization=pair.a).first()
        assert expected is not None
        found = one.first(key=expected.pk)
        assert found is not None
        ours, theirs = (
            {name: value for name, value in vars(key).items() if name != "_state"}
            for key in (found, expected)
        )
        assert ours == theirs
        found.name = "renamed"
        found.save(update_fields=["name"])
        expected.refresh_from_db()
        assert expected.name == "renamed"


def test_fields_that_are_left_out_are_read_when_they_are_needed(
    pair: Pair, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    few: Prepared[Organization] = Prepared(
        lambda: Organization.objects.filter(pk=Given("organization")).only("id")
    )
    with tenancy.system("test"):
        found = few.first(organization=pair.a.pk)
        assert found is not None
        with django_assert_num_queries(1):
            assert found.name == "Acme"


def test_what_it_cannot_give_is_refused(db: None) -> None:
    for queryset in (
        Organization.objects.prefetch_related("memberships"),
        Organization.objects.annotate(count=Count("memberships")),
    ):
        with pytest.raises(ValueError, match="a prepared query"):
            Prepared(lambda queryset=queryset: queryset)()
