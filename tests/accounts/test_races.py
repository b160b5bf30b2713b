"""Two at once, with real threads and connections: the database decides, once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts import api_keys, invitations, memberships, registration, tokens
from accounts.models import ApiKey, Membership, User
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, join, person

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each of `acts` returned or raised, when they began at the same moment."""
    start, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(index: int, act: Callable[[], Any]) -> None:
        start.wait()
        try:
            results[index] = act()
        except Exception as error:  # noqa: BLE001  # what it raised is the result
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def kinds(results: list[Any]) -> list[str]:
    return sorted(type(result).__name__ for result in results)


def test_one_address_signs_up_once():
    def register() -> User:
        return registration.register(
            email="ada@engines.example",
            password=PASSWORD,
            full_name="Ada",
            organization_name="Engines",
            now=timezone.now(),
        )

    assert kinds(at_once(*[register] * 4)) == ["EmailTaken"] * 3 + ["User"]
    with tenancy.system("test"):
        assert (User.objects.count(), Membership.objects.count()) == (1, 1)


def test_two_owners_cannot_both_leave(acme, owner):
    second = join(acme, "second@acme.example", Role.OWNER)

    def leave(user: User) -> Callable[[], None]:
        def act() -> None:
            with tenancy.tenant(acme):
                memberships.remove(
                    organization=acme, user_id=user.pk, by=user, revoke_keys=True, now=timezone.now()
                )

        return act

    assert kinds(at_once(leave(owner), leave(second))) == ["LastOwner", "NoneType"]
    with tenancy.tenant(acme):
        assert Membership.objects.filter(role=Role.OWNER).count() == 1


def test_a_refresh_token_is_exchanged_once_and_the_family_ends(owner):
    first = tokens.log_in(user=owner, ip_address=None, user_agent="", now=timezone.now())

    def refresh() -> tokens.Pair:
        return tokens.refresh(refresh_token=first.refresh_token, now=timezone.now())

    results = at_once(*[refresh] * 3)
    assert kinds(results) == ["InvalidToken", "InvalidToken", "Pair"]
    won = next(result for result in results if isinstance(result, tokens.Pair))
    with pytest.raises(tokens.InvalidToken):
        tokens.authenticate(won.access_token)


def test_a_key_is_rotated_once(acme, owner):
    with tenancy.tenant(acme):
        key, _text = api_keys.create(
            organization=acme,
            name="server",
            scopes=[Scope.USAGE_READ],
            created_by=owner,
            expires_at=None,
            now=timezone.now(),
        )

    def rotate() -> Any:
        with tenancy.tenant(acme):
            return api_keys.rotate(
                organization=acme,
                key_id=key.pk,
                grace=api_keys.GRACE_PERIODS[3600],
                rotated_by=owner,
                now=timezone.now(),
            )

    assert kinds(at_once(rotate, rotate)) == ["KeyAlreadyRotated", "tuple"]
    with tenancy.tenant(acme):
        assert ApiKey.objects.count() == 2


def test_the_number_of_keys_holds(acme, monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 2)

    def create() -> Any:
        with tenancy.tenant(acme):
            return api_keys.create(
                organization=acme,
                name="server",
                scopes=[Scope.USAGE_READ],
                created_by=None,
                expires_at=None,
                now=timezone.now(),
            )

    assert kinds(at_once(*[create] * 4)) == ["TooManyKeys", "TooManyKeys", "tuple", "tuple"]


def test_an_address_is_invited_once_and_joins_once(acme, owner):
    def invite() -> Any:
        with tenancy.tenant(acme):
            return invitations.invite(
                organization=acme,
                email="new@acme.example",
                role=Role.VIEWER,
                invited_by=owner,
                now=timezone.now(),
            )

    results = at_once(invite, invite)
    assert kinds(results) == ["AlreadyInvited", "Invitation"]
    invitation = next(result for result in results if not isinstance(result, Exception))
    user = person("new@acme.example")

    def accept() -> Membership:
        return invitations.accept(invitation=invitation, user=user, now=timezone.now())

    assert kinds(at_once(accept, accept)) == ["InvitationGone", "Membership"]


def test_revoking_while_it_is_used_never_lets_it_come_back(acme):
    with tenancy.tenant(acme):
        key, plain_text = api_keys.create(
            organization=acme,
            name="server",
            scopes=[Scope.USAGE_READ],
            created_by=None,
            expires_at=None,
            now=timezone.now(),
        )

    def use() -> int:
        good = 0
        for _ in range(200):
            try:
                api_keys.resolve(plain_text)
                good += 1
            except api_keys.InvalidKey:
                pass
        return good

    def revoke() -> ApiKey:
        with tenancy.tenant(acme):
            return api_keys.revoke(organization=acme, key_id=key.pk, revoked_by=None, now=timezone.now())

    at_once(use, use, revoke)
    with pytest.raises(api_keys.InvalidKey):
        api_keys.resolve(plain_text)
