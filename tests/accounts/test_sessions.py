"""Sessions of the portal: strangers get none, and the expired ones are forgotten."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth import get_user
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts import sessions
from accounts.models import User
from tests.accounts.conftest import page_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address", ["/", "/accounts/signup/", "/accounts/signup/?plan=pro", "/accounts/login/"]
)
def test_a_stranger_who_looks_leaves_no_session(client: Client, address: str) -> None:
    assert client.get(address).status_code == 200
    assert Session.objects.count() == 0


def test_expired_sessions_are_forgotten_with_what_was_noted_of_them() -> None:
    now = timezone.now()
    user = User.objects.create(email="ada@engines.example")
    for key, expires_at in (("kept", now + timedelta(seconds=1)), ("old", now - timedelta(seconds=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=expires_at)
        UserSession.objects.create(user=user, session_key=key, ip="192.0.2.1", user_agent="")
    assert sessions.forget_expired(now=now) == 1
    assert list(Session.objects.values_list("session_key", flat=True)) == ["kept"]
    assert list(UserSession.objects.values_list("session_key", flat=True)) == ["kept"]
    assert sessions.forget_expired(now=now) == 0


def test_whoever_logs_in_again_and_again_ends_their_oldest_log_ins() -> None:
    """Ten thousand logins of one person were twenty thousand queries on the page that lists them."""
    user = User.objects.create_user(email="ada@engines.example", full_name="Ada")
    browsers = [Client() for _ in range(3)]
    for browser in browsers:
        browser.force_login(user)
        key = browser.session.session_key
        UserSession.objects.get_or_create(session_key=key, defaults={"user": user, "ip": "192.0.2.1"})
    others = [
        UserSession(user=user, session_key=f"other-{number}", ip="192.0.2.1")
        for number in range(sessions.MOST - 2)
    ]
    UserSession.objects.bulk_create(others)
    Client().force_login(user)
    assert UserSession.objects.filter(user=user).count() <= sessions.MOST
    assert [get_user(browser).is_authenticated for browser in browsers] == [False, False, True]
    stranger = User.objects.create_user(email="bob@engines.example", full_name="Bob")
    Client().force_login(stranger)
    assert get_user(browsers[2]).is_authenticated


@pytest.mark.parametrize("key, age, is_in", [
    (sessions.SEEN_KEY, sessions.IDLE_LIFETIME, False), (sessions.BEGAN_KEY, sessions.LIFETIME, False),
    (sessions.SEEN_KEY, timedelta(hours=1), True),
])  # fmt: skip
def test_a_session_ends_when_it_rests_or_lasts_too_long(acme, owner, key, age, is_in):
    client = page_of(owner)
    session = client.session
    session[key] = (timezone.now() - age - timedelta(minutes=1)).timestamp()
    session.save()
    client.get("/settings/profile/")
    assert get_user(client).is_authenticated == is_in
