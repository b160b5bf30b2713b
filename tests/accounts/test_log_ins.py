"""Ending all logins of a person: sessions and API tokens, after proof."""

from django.contrib.auth import get_user
from django.test import Client

from tests.accounts.conftest import PASSWORD, page_of


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
