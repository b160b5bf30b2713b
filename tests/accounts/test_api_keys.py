import re
from datetime import timedelta

import pytest
import redis
from django.db import connection, transaction
from django.utils import timezone

from accounts import api_keys, key_records
from accounts.models import ApiKey
from accounts.roles import Role, Scope
from superagent.foundation import redis_client, tenancy
from superagent.foundation.problems import Invalid, NotFound
from tests.accounts.conftest import actions

SCOPES = [Scope.USAGE_WRITE, Scope.USAGE_READ]


def create(organization, **fields) -> tuple[ApiKey, str]:
    given = {
        "name": "server",
        "scopes": SCOPES,
        "created_by": None,
        "expires_at": None,
        "now": timezone.now(),
    } | fields
    with tenancy.tenant(organization):
        return api_keys.create(organization=organization, **given)


def revoke(organization, key) -> ApiKey:
    with tenancy.tenant(organization):
        return api_keys.revoke(organization=organization, key_id=key.pk, revoked_by=None, now=timezone.now())


def rotate(organization, key, grace=timedelta(0), **fields) -> tuple[ApiKey, str]:
    with tenancy.tenant(organization):
        return api_keys.rotate(
            organization=organization,
            key_id=key.pk,
            grace=grace,
            rotated_by=None,
            now=timezone.now(),
            **fields,
        )


def test_a_key_is_256_bits_and_only_its_hash_is_stored(acme):
    key, plain_text = create(acme)
    assert re.fullmatch(r"sa_test_[0-9A-Za-z]{43}", plain_text)  # a double click selects it
    assert (key.prefix, key.last_four) == (plain_text[:12], plain_text[-4:])
    with connection.cursor() as cursor, tenancy.system("test"):
        cursor.execute("SELECT k::text FROM accounts_apikey k")
        assert plain_text[12:-4] not in cursor.fetchone()[0]
    assert actions(acme)[-1] == "api_key.created"


def test_keys_of_former_times_with_other_characters_still_work(acme):
    key, _ = create(acme)
    former = "sa_test_cdOjqTXRVmY2CPU0rpZMSOzJuk9m-M-Qq_aB-0dEfgh"
    with tenancy.system("test"):
        ApiKey.objects.filter(pk=key.pk).update(key_hash=api_keys.digest(former))
    assert api_keys.resolve(former).organization_id == acme.pk


def test_a_live_organization_has_live_keys(acme):
    acme.livemode = True
    with tenancy.system("test"):
        acme.save()
    assert create(acme)[1].startswith("sa_live_")


def test_resolve_gives_the_principal(acme):
    key, plain_text = create(acme)
    principal = api_keys.resolve(plain_text)
    assert (principal.organization_id, principal.user_id, principal.api_key_id) == (acme.pk, None, key.pk)
    assert principal.scopes == {"usage:write", "usage:read"}
    assert principal.make_organization() == acme


def test_resolve_asks_postgresql_once(acme, django_assert_num_queries):
    _key, plain_text = create(acme)
    with django_assert_num_queries(1):
        api_keys.resolve(plain_text)
    with django_assert_num_queries(0):
        principal = api_keys.resolve(plain_text)
        assert principal.make_organization().livemode is False


@pytest.mark.parametrize("plain_text", ["", "sa_test_", "sa_test_" + "x" * 43, "sk_test_something"])
def test_resolve_refuses_what_it_does_not_know(db, plain_text):
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_stops_at_once_although_it_was_cached(acme):
    key, plain_text = create(acme)
    api_keys.resolve(plain_text)
    revoke(acme, key)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)
    assert redis_client.connection().get(key_records.name_of(bytes(key.key_hash))) == key_records.TOMBSTONE
    revoke(acme, key)
    assert actions(acme).count("api_key.revoked") == 1


@pytest.mark.django_db(transaction=True)
def test_a_revocation_reaches_redis_by_the_outbox_when_redis_was_away(acme, monkeypatch):
    from superagent.foundation import outbox

    key, plain_text = create(acme)
    api_keys.resolve(plain_text)
    with monkeypatch.context() as patched:
        patched.setattr(redis_client, "connection", _lost)
        revoke(acme, key)
    assert (
        api_keys.resolve(plain_text).api_key_id == key.pk
    )  # the stale record, for the sweeper's few seconds
    outbox.sweep()
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)


def test_without_redis_postgresql_decides(acme, monkeypatch):
    key, plain_text = create(acme)
    monkeypatch.setattr(redis_client, "connection", _lost)
    assert api_keys.resolve(plain_text).api_key_id == key.pk
    revoke(acme, key)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)


def _lost() -> redis.Redis:
    raise redis.ConnectionError("gone")


def test_an_expired_key_is_refused_from_cache_too(acme):
    key, plain_text = create(acme, expires_at=timezone.now() + timedelta(hours=1))
    api_keys.resolve(plain_text)
    with tenancy.system("test"):
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    key_records.write(bytes(key.key_hash), key_records.dump(_fresh(key)))
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)


def _fresh(key: ApiKey) -> ApiKey:
    with tenancy.system("test"):
        return ApiKey.objects.select_related("organization").get(pk=key.pk)


@pytest.mark.django_db(transaction=True)
def test_rotation_without_grace_ends_the_old_key(acme):
    old, old_text = create(acme, expires_at=timezone.now() + timedelta(days=90))
    new, new_text = rotate(acme, old)
    assert (new.name, new.scopes, new.rotated_from_id) == (old.name, old.scopes, old.pk)
    assert timedelta(days=89) < new.expires_at - timezone.now() <= timedelta(days=90)
    assert api_keys.resolve(new_text).api_key_id == new.pk
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(old_text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("grace", [g for g in api_keys.GRACE_PERIODS.values() if g])
def test_rotation_with_grace_keeps_the_old_key_until_then(acme, grace):
    old, old_text = create(acme)
    api_keys.resolve(old_text)
    rotate(acme, old, grace)
    assert api_keys.resolve(old_text).api_key_id == old.pk
    assert abs(_fresh(old).expires_at - (timezone.now() + grace)) < timedelta(minutes=1)
    stored = key_records.parse(redis_client.connection().get(key_records.name_of(bytes(old.key_hash))))
    assert stored.expires_at == _fresh(old).expires_at


def test_grace_never_lengthens_a_life(acme):
    old, _text = create(acme, expires_at=timezone.now() + timedelta(minutes=5))
    rotate(acme, old, timedelta(hours=24))
    assert _fresh(old).expires_at == old.expires_at


def test_a_key_is_rotated_once_and_not_after_its_end(acme):
    old, _text = create(acme)
    rotate(acme, old, timedelta(hours=1))
    with pytest.raises(api_keys.KeyAlreadyRotated):
        rotate(acme, old)
    other, _text = create(acme)
    revoke(acme, other)
    with pytest.raises(api_keys.KeyRevoked):
        rotate(acme, other)
    with pytest.raises(Invalid):
        rotate(acme, create(acme)[0], timedelta(minutes=7))


def test_a_key_cannot_be_given_more_than_its_maker_has(acme, member):
    maker, _text = create(acme, scopes=[Scope.KEYS_WRITE, Scope.USAGE_READ])
    with pytest.raises(api_keys.ScopeNotAllowed):
        create(acme, created_with=maker.pk)
    key, _text = create(acme)
    with pytest.raises(api_keys.ScopeNotAllowed):
        rotate(acme, key, rotated_with=maker.pk)
    with pytest.raises(api_keys.ScopeNotAllowed):
        create(acme, created_by=member(Role.DEVELOPER), scopes=[Scope.BILLING_WRITE])


def test_rights_that_were_taken_away_make_no_key(acme, member, stranger):
    developer, viewer = member(Role.DEVELOPER), member(Role.VIEWER)
    maker, _text = create(acme, created_by=developer, scopes=[Scope.KEYS_WRITE, *SCOPES])
    revoke(acme, maker)
    with pytest.raises(api_keys.InvalidKey):
        create(acme, created_with=maker.pk)
    for nobody in (viewer, stranger):
        with pytest.raises(api_keys.ScopeNotAllowed):
            create(acme, created_by=nobody, scopes=[Scope.USAGE_READ])


def test_a_key_of_another_organization_makes_none(acme, globex):
    maker, _text = create(globex, scopes=list(Scope))
    with pytest.raises(api_keys.InvalidKey):
        create(acme, created_with=maker.pk)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["usage:read", "everything"]])
def test_scopes_are_checked(acme, scopes):
    with pytest.raises(Invalid):
        create(acme, scopes=scopes)


def test_a_key_does_not_begin_expired(acme):
    with pytest.raises(Invalid):
        create(acme, expires_at=timezone.now())


def test_too_many_keys(acme, monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 2)
    keys = [create(acme)[0] for _ in range(2)]
    with pytest.raises(api_keys.TooManyKeys):
        create(acme)
    revoke(acme, keys[0])
    create(acme)


def test_another_organizations_key_is_not_found(acme, globex):
    key, _text = create(acme)
    for act in (revoke, rotate):
        with pytest.raises(NotFound):
            act(globex, key)


def test_a_publication_waits_for_the_commit(acme, django_capture_on_commit_callbacks):
    key, plain_text = create(acme)
    api_keys.resolve(plain_text)
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        revoke(acme, key)
    assert api_keys.resolve(plain_text)
    for callback in callbacks:
        callback()
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)
