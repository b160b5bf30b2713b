"""Principals: who acts, and their organization without a query."""

from datetime import UTC, datetime
from uuid import uuid4

from accounts.principals import Principal
from accounts.roles import Scope
from superagent.foundation import clock, tenancy

THEN = datetime(2027, 3, 1, tzinfo=UTC)


def principal(**given) -> Principal:
    fields = {
        "organization_id": uuid4(),
        "user_id": None,
        "api_key_id": None,
        "scopes": frozenset(),
        "label": "x",
    }
    return Principal(**(fields | given))


def test_a_caller_is_the_same_in_every_organization():
    user, key = uuid4(), uuid4()
    assert {principal(user_id=user).caller for _ in range(2)} == {f"user:{user}"}
    assert principal(api_key_id=key, user_id=user).caller == f"api_key:{key}"
    assert (principal(api_key_id=key).is_api_key, principal(user_id=user).is_api_key) == (True, False)


def test_a_principal_allows_its_scopes_only():
    reader = principal(scopes=frozenset({Scope.USAGE_READ}))
    assert reader.allows("usage:read") and not reader.allows("usage:write")


def test_the_clock_of_its_organization_needs_no_query(acme, django_assert_num_queries):
    with django_assert_num_queries(0):
        made = principal(organization_id=acme.pk, test_clock_time=THEN).make_organization()
        assert (made.pk, clock.now(made)) == (acme.pk, THEN)
    with tenancy.tenant(acme):
        assert made.name == "Acme"  # read when it is asked for
