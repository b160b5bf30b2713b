"""What a thief of a password or session cannot do with a change of address, and how the old mailbox undoes one."""

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client
from django.utils import timezone

from accounts import api_keys, email_changes, tokens
from accounts.models import ApiKey, EmailChange, User
from accounts.roles import Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, founded, page_of, path_in_mail
from tests.accounts.mailboxes import (
    NEW_PASSWORD,
    ada,
    ask,
    asked,
    identity,
    is_logged_in,
    logged_in,
    made,
    mails_to,
)

__all__ = ["ada"]  # a fixture
pytestmark = pytest.mark.django_db(transaction=True)


# --- what a thief cannot do


def test_a_pending_change_does_not_survive_a_password_reset(ada):
    """H2: the owner heard of it at once, and a reset ends what the thief has begun."""
    thief = logged_in(ada)
    ask(thief, "evil@thief.example")
    assert "Confirm the change of your email address" in mails_to(ada.email)
    stolen = path_in_mail("evil@thief.example", "confirm")

    owner = Client()
    owner.post("/accounts/password/reset/", {"email": ada.email})
    form = owner.get(path_in_mail(ada.email, "password/reset/key"))["Location"]
    owner.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})

    assert not is_logged_in(thief)
    assert thief.get(stolen).status_code == 410
    assert thief.post(stolen, {"password": PASSWORD}).status_code == 410
    assert identity(ada) == ("ada@engines.example", [("ada@engines.example", True, True)])
    assert is_logged_in(logged_in(ada, NEW_PASSWORD))


def change_password(client):
    client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    )


def log_out_others(client):
    client.post("/accounts/sessions/")


def change_second_factor(client):
    client.post("/accounts/2fa/recovery-codes/generate/")


@pytest.mark.parametrize("act", [change_password, log_out_others, change_second_factor])
def test_what_ends_the_other_log_ins_withdraws_a_pending_change(ada, act):
    """H2, L11: a password, “log out the others” or a second factor ends sessions, API tokens and a pending change."""
    RecoveryCodes.activate(ada)
    Authenticator.objects.create(user=ada, type=Authenticator.Type.TOTP, data={"secret": ""})
    thief, owner = page_of(ada), page_of(ada)
    session = owner.session
    session["account_authentication_methods"] = [
        {"method": "password", "at": timezone.now().timestamp(), "reauthenticated": True}
    ]
    session["account_authentication_methods_user"] = str(ada.pk)
    session.save()
    pair = tokens.log_in(user=ada, ip_address=None, user_agent="", now=timezone.now())
    change = asked(ada, "evil@thief.example")
    act(owner)
    change.refresh_from_db()
    assert change.withdrawn_at is not None
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.agree(change=change, now=timezone.now())
    with pytest.raises(tokens.InvalidToken):
        tokens.authenticate(pair.access_token)
    assert (is_logged_in(thief), is_logged_in(owner)) == (False, True)


def test_a_password_set_by_a_command_withdraws_too(ada):
    change = asked(ada, "evil@thief.example")
    ada.set_password(NEW_PASSWORD)
    ada.save(update_fields=["password"])
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.confirm(change=change, now=timezone.now())


def test_a_deactivated_person_changes_nothing(ada):
    change = asked(ada, "evil@thief.example")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.confirm(change=change, now=timezone.now())


def test_this_was_not_me_locks_the_thief_out(ada):
    acme = founded("Engines", ada)
    with tenancy.tenant(acme):
        older, _ = made_key(acme, ada)
    thief = logged_in(ada)
    ask(thief, "evil@thief.example")
    with tenancy.tenant(acme):
        younger, _ = made_key(acme, ada)
    answer = path_in_mail(ada.email, "answer").split("?")[0]
    stopped = Client().post(answer, {"answer": "not-me"})
    assert "/accounts/password/reset/key/" in stopped["Location"]
    assert not is_logged_in(thief)
    ada.refresh_from_db()
    assert not ada.has_usable_password()
    with tenancy.tenant(acme):
        assert ApiKey.objects.get(pk=older.pk).revoked_at is None
        assert ApiKey.objects.get(pk=younger.pk).revoked_at is not None
    assert mails_to(ada.email)[-1] == "The change of your email address was stopped"
    assert Client().get(answer).status_code == 410


def made_key(organization, user):
    return api_keys.create(
        organization=organization,
        name="key",
        scopes=[Scope.USAGE_READ],
        created_by=user,
        expires_at=None,
        now=timezone.now(),
    )


# --- undone from the old address


def test_the_old_address_takes_the_account_back_for_a_week(ada):
    change = asked(ada, "evil@thief.example")
    email_changes.agree(change=change, now=timezone.now())
    email_changes.confirm(change=change, now=timezone.now())
    undo = path_in_mail("ada@engines.example", "undo")
    ada.refresh_from_db()
    thief = logged_in(ada)
    pair = tokens.log_in(user=ada, ip_address=None, user_agent="", now=timezone.now())
    Authenticator.objects.create(user=ada, type=Authenticator.Type.TOTP, data={"secret": ""})

    assert "Take the account back" in Client().get(undo).content.decode()
    owner = Client()
    taken_back = owner.post(undo)
    assert identity(ada) == ("ada@engines.example", [("ada@engines.example", True, True)])
    assert not Authenticator.objects.exists()
    assert not is_logged_in(thief)
    with pytest.raises(tokens.InvalidToken):
        tokens.authenticate(pair.access_token)
    form = owner.get(taken_back["Location"])["Location"]
    owner.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    ada.refresh_from_db()
    assert is_logged_in(logged_in(ada, NEW_PASSWORD))
    assert Client().get(undo).status_code == 410
    assert mails_to("evil@thief.example")[-1] == "This address no longer belongs to an account"


def test_after_a_week_nothing_is_undone(ada):
    change = made(ada, "ada@new.example")
    late = change.made_at + EmailChange.UNDO_PERIOD
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.undo(change=change, now=late)
    email_changes.undo(change=change, now=late - timedelta(seconds=1))


def test_undoing_the_first_change_undoes_the_later_ones(ada):
    first = made(ada, "one@thief.example")
    second = made(ada, "two@thief.example")
    email_changes.undo(change=first, now=timezone.now())
    assert identity(ada)[0] == "ada@engines.example"
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.undo(change=second, now=timezone.now())
