from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from accounts.roles import Role, Scope
from superagent.foundation import idempotency, tenancy
from superagent.foundation.models import IdempotencyRecord
from tests.accounts.conftest import Api, api_of, key_of

NEW = {"name": "server", "scopes": ["usage:write"]}


@pytest.fixture
def as_owner(acme, owner):
    return api_of(owner)


def test_create_shows_the_key_once(acme, owner, as_owner):
    made = as_owner.post("api-keys", NEW)
    assert made.status_code == 201
    body = made.json()
    key = body.pop("key")
    assert key.startswith(body["prefix"])
    assert (body["name"], body["scopes"], body["status"], body["created_by"]) == (
        "server",
        ["usage:write"],
        "active",
        owner.email,
    )
    assert as_owner.get(f"api-keys/{body['id']}").json() == body
    assert as_owner.get("api-keys").json()["data"] == [body]
    assert Api(key).get("organizations").status_code == 200


@pytest.mark.parametrize(
    "changed, pointer",
    [
        ({"name": ""}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["all"]}, "/scopes/0"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
def test_create_names_the_invalid_field(as_owner, changed, pointer):
    answer = as_owner.post("api-keys", NEW | changed)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_lost_answer_can_be_asked_for_again_for_a_day(acme, as_owner):
    """Licensing and API A7: the replay had no key, so the retry could not deliver."""
    first, second = (as_owner.post("api-keys", NEW, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["key"]
    assert first.json() == second.json()
    assert ("Idempotent-Replayed" in first.headers, second.headers["Idempotent-Replayed"]) == (False, "true")
    assert second.headers["Cache-Control"] == "no-store"
    with tenancy.tenant(acme):
        assert ApiKey.objects.count() == 1
        record = IdempotencyRecord.objects.get()
        assert first.json()["key"] not in str(record.answer)
        assert first.json()["key"].encode() not in bytes(record.sealed)
        IdempotencyRecord.objects.update(created_at=timezone.now() - idempotency.SEALED_FOR)
    late = as_owner.post("api-keys", NEW, **{"Idempotency-Key": "k1"})
    assert (late.status_code, late.json()) == (201, first.json() | {"key": None})


def test_sealed_keys_are_deleted_after_a_day(acme, as_owner):
    as_owner.post("api-keys", NEW, **{"Idempotency-Key": "k1"})
    for hours, is_kept in ((23, True), (25, False)):
        with tenancy.system("test"):
            idempotency.forget_old(now=timezone.now() + timedelta(hours=hours))
            assert (IdempotencyRecord.objects.get().sealed is not None) == is_kept


def test_a_replay_is_for_who_made_the_key_only(acme, as_owner, member):
    as_owner.post("api-keys", NEW, **{"Idempotency-Key": "k1"})
    answer = api_of(member(Role.DEVELOPER)).post("api-keys", NEW, **{"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    with tenancy.tenant(acme):
        assert ApiKey.objects.count() == 1


def test_a_developer_cannot_grant_more_than_they_have(acme, member):
    developer = api_of(member(Role.DEVELOPER))
    answer = developer.post("api-keys", NEW | {"scopes": ["usage:write", "billing:write"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_allowed")
    assert developer.post("api-keys", NEW).status_code == 201


def test_a_key_cannot_grant_more_than_it_has(acme):
    caller = key_of(acme, Scope.KEYS_WRITE, Scope.USAGE_READ)
    assert caller.post("api-keys", NEW).status_code == 403
    assert caller.post("api-keys", NEW | {"scopes": ["usage:read"]}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_rotate_with_and_without_grace(acme, as_owner):
    old = as_owner.post("api-keys", NEW).json()
    assert Api(old["key"]).get("organizations").status_code == 200
    rotated = as_owner.post(f"api-keys/{old['id']}/rotate", {"grace_seconds": 3600})
    assert rotated.status_code == 201
    assert {Api(key).get("organizations").status_code for key in (old["key"], rotated.json()["key"])} == {200}
    last = as_owner.post(f"api-keys/{rotated.json()['id']}/rotate", {}).json()
    assert Api(rotated.json()["key"]).get("organizations").status_code == 401
    assert Api(last["key"]).get("organizations").status_code == 200
    assert as_owner.post(f"api-keys/{last['id']}/rotate", {"grace_seconds": 5}).status_code == 400
    again = as_owner.post(f"api-keys/{old['id']}/rotate")
    assert (again.status_code, again.json()["code"]) == (409, "api_key_already_rotated")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["post", "delete"])
def test_a_revoked_key_is_401_at_once(acme, as_owner, way):
    made = as_owner.post("api-keys", NEW).json()
    caller = Api(made["key"])
    assert caller.get("organizations").status_code == 200
    if way == "post":
        assert as_owner.post(f"api-keys/{made['id']}/revoke").json()["status"] == "revoked"
    else:
        assert as_owner.delete(f"api-keys/{made['id']}").status_code == 204
    refused = caller.get("organizations")
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")
    assert refused["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_key_is_401(acme):
    caller = key_of(acme, expires_at=timezone.now() + timedelta(hours=1))
    assert caller.get("organizations").status_code == 200


def test_keys_of_another_organization_are_404(acme, globex, owner):
    theirs = key_of(globex)
    with tenancy.tenant(globex):
        key = ApiKey.objects.get()
    for caller in (api_of(owner), key_of(acme)):
        for answer in (
            caller.get(f"api-keys/{key.pk}"),
            caller.delete(f"api-keys/{key.pk}"),
            caller.post(f"api-keys/{key.pk}/revoke"),
            caller.post(f"api-keys/{key.pk}/rotate"),
        ):
            assert answer.status_code == 404
        assert str(key.pk) not in caller.get("api-keys").content.decode()
    assert theirs.get("organizations").status_code == 200


def test_a_call_with_a_cached_key_costs_no_query_before_the_view(acme, as_owner, django_assert_num_queries):
    caller = key_of(acme)
    caller.get("api-keys")
    with django_assert_num_queries(1):  # the list itself
        caller.get("api-keys")


def test_pages_by_cursor(acme, as_owner):
    for number in range(5):
        as_owner.post("api-keys", NEW | {"name": f"key {number}"})
    first = as_owner.get("api-keys?limit=2").json()
    assert [key["name"] for key in first["data"]] == ["key 4", "key 3"]
    second = as_owner.get(first["next"].partition("/api/v1/")[2]).json()
    assert [key["name"] for key in second["data"]] == ["key 2", "key 1"]
    assert second["previous"] is not None
    assert as_owner.get("api-keys?name=key 2").json()["data"][0]["name"] == "key 2"
    unknown = as_owner.get("api-keys?fields=id,hash")
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (400, "/fields")
