"""Two at once, with real threads and connections: the database decides, once."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from accounts import api_keys, closures, invitations, memberships, registration, tokens
from accounts.models import AccountClosure, ApiKey, Membership, Organization, User
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from superagent.foundation.problems import NotFound
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
        thread.join(60)
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


# --- an account closes while its person is removed


class Held:
    """A row that somebody else holds until it is let go, so that what wants it has begun by then."""

    def __init__(self, row: Model) -> None:
        self.row, self.is_held, self.let_go = row, threading.Event(), threading.Event()

    def __call__(self) -> None:
        with tenancy.system("test"), transaction.atomic():
            type(self.row).objects.select_for_update(no_key=True).get(pk=self.row.pk)
            self.is_held.set()
            assert self.let_go.wait(30)


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def wait_until_waiting(count: int) -> None:
    end = time.monotonic() + 30
    while waiting_for_locks() < count:
        assert time.monotonic() < end, f"{count} transactions were to wait for a lock"
        time.sleep(0.02)


@pytest.mark.parametrize("held", ["person", "first organization", "second organization"])
@pytest.mark.parametrize("is_removed_first", [True, False])
def test_an_account_that_closes_while_its_person_is_removed_blocks_nobody(
    acme, globex, owner, stranger, held, is_removed_first
):
    """Organizations are locked before persons, in one order: whoever comes first, both come to their end."""
    user = join(acme, "both@acme.example", Role.ADMIN)
    with tenancy.system("test"):
        Membership.objects.create(organization=globex, user=user, role=Role.ADMIN)
    closures.ask(user=user, end_charges=False, now=timezone.now() - AccountClosure.WAITING_PERIOD)

    def close() -> int:
        return closures.close_due(now=timezone.now())

    def remove(organization: Organization, by: User) -> Callable[[], None]:
        def act() -> None:
            with tenancy.tenant(organization), contextlib.suppress(NotFound):  # it has left already
                memberships.remove(
                    organization=organization, user_id=user.pk, by=by, revoke_keys=True, now=timezone.now()
                )

        return act

    rows = {"person": user, "first organization": acme, "second organization": globex}
    holder = Held(rows[held])
    removals: list[Callable[[], Any]] = [remove(acme, owner), remove(globex, stranger)]
    acts: list[Callable[[], Any]] = [*removals, close] if is_removed_first else [close, *removals]
    results: list[Any] = []

    def one_after_another() -> None:
        assert holder.is_held.wait(30)
        threads = []
        for act in acts:
            threads.append(threading.Thread(target=lambda act=act: results.extend(at_once(act))))
            threads[-1].start()
            time.sleep(0.2)  # so that it stands in front of the next one
        wait_until_waiting(1)
        holder.let_go.set()
        for thread in threads:
            thread.join(60)

    assert at_once(holder, one_after_another) == [None, None]
    assert [result for result in results if isinstance(result, Exception)] == []
    assert len(results) == 3
    with tenancy.system("test"):
        assert not Membership.objects.filter(user=user).exists()
        assert not User.objects.get(pk=user.pk).is_active
