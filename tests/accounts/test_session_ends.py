"""L11: log-ins end, however busy they are."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone

from accounts import sessions, tokens
from accounts.models import TokenFamily
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD, page_of, person


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


def test_who_ends_the_other_sessions_shows_who_they_are(acme, owner):
    """A thief of a session put its owner out; the owner could not keep the thief from it."""
    thief, other = Client(), page_of(owner)
    thief.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    path = "/accounts/sessions/"
    assert "Log out other sessions" in thief.get(path).content.decode()
    assert thief.post(path)["Location"] == f"/accounts/reauthenticate/?next={path.replace('/', '%2F')}"
    assert get_user(other).is_authenticated
    done = thief.post(f"/accounts/reauthenticate/?next={path}", {"password": PASSWORD}, follow=True)
    assert done.status_code == 200 and done.request["PATH_INFO"] == path
    assert (get_user(thief).is_authenticated, get_user(other).is_authenticated) == (True, False)


def test_an_api_log_in_ends_however_often_it_is_refreshed(db):
    user, now = person("ada@engines.example"), timezone.now()
    pair = tokens.log_in(user=user, ip_address=None, user_agent="", now=now)
    pair = tokens.refresh(refresh_token=pair.refresh_token, now=now)
    TokenFamily.objects.update(created_at=now - tokens.FAMILY_LIFETIME)
    with pytest.raises(tokens.InvalidToken, match="30 days"):
        tokens.refresh(refresh_token=pair.refresh_token, now=now)


def test_a_reset_writes_one_row_whether_or_not_somebody_has_the_address(db, client):
    """L10."""
    person("ada@engines.example")
    for email in ("ada@engines.example", "nobody@engines.example"):
        client.post("/accounts/password/reset/", {"email": email})
        with tenancy.system("test"):
            mail = OutboxMessage.objects.latest("id")
        assert mail.payload["to"] == [email]
        assert mail.payload["context"] == {"link": {"link_to": "reset_password"}}
