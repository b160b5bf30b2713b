"""Changing one's address: both mailboxes agree, ended logins withdraw it, the old mailbox undoes it for a week."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import get_user
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import email_addresses, email_changes, log_ins, mail_links, people
from accounts.models import EmailChange, User
from superagent.foundation import tenancy
from superagent.foundation.problems import Invalid
from tests.accounts.conftest import PASSWORD, founded, page_of, path_in_mail, person
from tests.accounts.mailboxes import ada, ask, asked, identity, is_logged_in, logged_in, made, mails_to
from tests.accounts.test_races import at_once, kinds

__all__ = ["ada"]  # a fixture
pytestmark = pytest.mark.django_db(transaction=True)


# --- both sides agree


def test_a_change_is_made_when_both_mailboxes_have_agreed(ada):
    client = logged_in(ada)
    assert ask(client, "Ada@new.example")["Location"] == "/accounts/email/"
    assert identity(ada) == ("ada@engines.example", [("ada@engines.example", True, True)])
    page = client.get("/accounts/email/").content.decode()
    assert "ada@new.example" in page
    assert page.count("Waiting") == 2

    confirm = path_in_mail("ada@new.example", "confirm")
    assert client.get(confirm).status_code == 200
    assert client.post(confirm)["Location"] == "/accounts/email/"
    assert identity(ada)[0] == "ada@engines.example"

    answer = path_in_mail("ada@engines.example", "answer")
    stranger = Client()  # the old mailbox may be open elsewhere
    assert "Agree to the change" in stranger.get(answer).content.decode()
    assert "is now ada@new.example" in stranger.post(answer, {"answer": "agree"}).content.decode()
    assert identity(ada) == ("ada@new.example", [("ada@new.example", True, True)])
    assert is_logged_in(client)
    assert mails_to("ada@engines.example") == [
        "Confirm the change of your email address", "Your email address was changed"
    ]  # fmt: skip
    assert mails_to("ada@new.example")[-1] == "Your account now uses this email address"


def test_the_page_says_which_bills_go_elsewhere(ada):
    """A billing address was copied from the login address once, and does not follow it."""
    founded("Engines", ada)
    client = page_of(ada)
    assert "Invoices of" not in client.get("/accounts/email/").content.decode()
    change = asked(ada, "ada@new.example")
    email_changes.agree(change=change, now=timezone.now())
    email_changes.confirm(change=change, now=timezone.now())
    page = page_of(User.objects.get(pk=ada.pk)).get("/accounts/email/").content.decode()
    assert "Invoices of Engines go to ada@engines.example." in page
    assert 'href="/settings/"' in page


def test_the_order_of_the_mailboxes_does_not_matter(ada):
    change = asked(ada, "ada@new.example")
    assert email_changes.agree(change=change, now=timezone.now()).made_at is None
    assert email_changes.confirm(change=change, now=timezone.now()).made_at is not None
    assert identity(ada)[0] == "ada@new.example"


def test_asking_needs_a_fresh_proof_of_who_one_is(ada):
    client = page_of(ada)
    assert ask(client, "ada@new.example")["Location"].startswith("/accounts/reauthenticate/")
    assert not EmailChange.objects.exists()


def test_the_new_mailbox_alone_is_not_the_account(ada):
    """H2: whoever holds the link but is not logged in must know the password."""
    change = asked(ada, "evil@thief.example")
    confirm = path_in_mail("evil@thief.example", "confirm")
    for client in (Client(), page_of(person("eve@thief.example"))):
        assert "enter the password" in client.get(confirm).content.decode()
        assert client.post(confirm).status_code == 422
        assert client.post(confirm, {"password": "a wrong guess"}).status_code == 422
    change.refresh_from_db()
    assert change.confirmed_at is None
    elsewhere = Client()
    assert elsewhere.post(confirm, {"password": PASSWORD})["Location"] == "/accounts/email/"
    assert get_user(elsewhere).pk == ada.pk
    change.refresh_from_db()
    assert change.confirmed_at is not None


def test_links_of_one_mailbox_do_not_work_for_the_other(ada):
    asked(ada, "ada@new.example")
    token = path_in_mail("ada@new.example", "confirm").split("/")[2]
    assert Client().get(f"/email-changes/{token}/answer/").status_code == 404
    assert Client().get(f"/email-changes/{token}/undo/").status_code == 404
    assert Client().get("/email-changes/nonsense/confirm/").status_code == 404


def test_a_link_expires(ada):
    change = asked(ada, "ada@new.example")
    confirm = path_in_mail("ada@new.example", "confirm")
    EmailChange.objects.update(asked_at=timezone.now() - EmailChange.LIFETIME)
    assert page_of(ada).get(confirm).status_code == 410
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.agree(change=change, now=timezone.now())


def test_another_request_takes_the_place_of_the_first(ada):
    first, second = asked(ada, "one@new.example"), asked(ada, "two@new.example")
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.confirm(change=first, now=timezone.now())
    assert email_changes.pending(user=ada, now=timezone.now()) == second
    with pytest.raises(Invalid, match="already"):
        asked(ada, "ADA@engines.example")


def test_the_page_sends_the_links_again_and_withdraws(ada):
    client = logged_in(ada)
    ask(client, "ada@new.example")
    for _ in range(2):
        client.post("/accounts/email/send-again/")
    assert len(mails_to("ada@new.example")) == 2  # the first, and once more: not at every press
    confirm = path_in_mail("ada@new.example", "confirm")
    client.post("/accounts/email/withdraw/")
    assert client.get(confirm).status_code == 410
    assert "Change in progress" not in client.get("/accounts/email/").content.decode()


@pytest.mark.parametrize("bad", ["", "nonsense", "ada@engines.example", "a" * 250 + "@x.example"])
def test_the_form_names_what_is_wrong(ada, bad):
    answer = ask(logged_in(ada), bad)
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["email"])


# --- unconfirmed, contested, mistyped


def test_two_unconfirmed_people_correct_their_addresses_at_once():
    """H3: the first lost the address and everybody else met an error."""
    people_ = [person(f"typo{n}@engines.example", verified=False) for n in range(3)]
    clients = [logged_in(user) for user in people_]
    answers = at_once(*(lambda c=c, n=n: ask(c, f"right{n}@engines.example") for n, c in enumerate(clients)))
    assert [answer.status_code for answer in answers] == [302] * 3
    for number, (user, client) in enumerate(zip(people_, clients, strict=True)):
        assert identity(user) == (
            f"typo{number}@engines.example",
            [(f"typo{number}@engines.example", True, False)],
        )
        assert is_logged_in(logged_in(user))
        client.post(path_in_mail(f"right{number}@engines.example", "confirm"))
        assert identity(user) == (
            f"right{number}@engines.example",
            [(f"right{number}@engines.example", True, True)],
        )
        assert is_logged_in(client)
        assert not any("change" in subject for subject in mails_to(f"typo{number}@engines.example"))


def test_a_mistyped_address_is_corrected_from_another_browser_too():
    user = person("typo@engines.example", verified=False)
    asked(user, "ada@engines.example")
    elsewhere = Client()
    elsewhere.post(path_in_mail("ada@engines.example", "confirm"), {"password": PASSWORD})
    assert identity(user) == ("ada@engines.example", [("ada@engines.example", True, True)])
    assert get_user(elsewhere).pk == user.pk


def test_what_was_never_confirmed_cannot_be_undone():
    user = person("typo@engines.example", verified=False)
    change = asked(user, "ada@engines.example")
    email_changes.confirm(change=change, now=timezone.now())
    with pytest.raises(email_changes.EmailChangeGone):
        email_changes.undo(change=change, now=timezone.now())


def test_an_unconfirmed_holder_gives_way_to_who_confirms(ada):
    """M6: it was an error 500 and left half of each account in the other."""
    squatter = person("boss@engines.example", verified=False)
    inside = page_of(squatter)
    client = logged_in(ada)
    ask(client, "boss@engines.example")
    Client().post(path_in_mail(ada.email, "answer").split("?")[0], {"answer": "agree"})
    client.post(path_in_mail("boss@engines.example", "confirm"))
    assert identity(ada) == ("boss@engines.example", [("boss@engines.example", True, True)])
    squatter.refresh_from_db()
    assert (squatter.is_active, squatter.email) == (False, f"{squatter.pk}@closed.invalid")
    assert get_user(inside).is_anonymous
    assert get_user(logged_in(User.objects.get(pk=ada.pk))).pk == ada.pk


def test_a_confirmed_holder_keeps_the_address_and_only_its_mailbox_hears_of_it(ada):
    owner = person("boss@engines.example")
    taken, free = logged_in(ada), logged_in(person("bob@engines.example"))
    answers = [ask(taken, owner.email), ask(free, "nobody@engines.example")]
    pages = [client.get("/accounts/email/").content.decode() for client in (taken, free)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert [page.count("Waiting") for page in pages] == [2, 2]
    assert mails_to(owner.email) == ["This address already has an account"]
    change = email_changes.pending(user=ada, now=timezone.now())
    email_changes.agree(change=change, now=timezone.now())
    with pytest.raises(email_addresses.EmailTaken):
        email_changes.confirm(change=change, now=timezone.now())
    assert identity(ada)[0] == "ada@engines.example"
    assert identity(owner) == ("boss@engines.example", [("boss@engines.example", True, True)])


def test_staffs_address_is_never_taken_from_them(ada):
    with tenancy.system("test"):
        staff = User.objects.create_user("root@superagent.example", PASSWORD, full_name="R", is_staff=True)
    change = asked(ada, staff.email)
    email_changes.agree(change=change, now=timezone.now())
    with pytest.raises(email_addresses.EmailTaken):
        email_changes.confirm(change=change, now=timezone.now())


def test_staff_vouches_for_who_lost_the_old_mailbox(ada):
    staff = person("staff@superagent.example", is_staff=True)
    client = page_of(ada)
    change = email_changes.ask_by_staff(
        user=ada, new_email="ada@new.example", staff=staff, reason="lost the mailbox", now=timezone.now()
    )
    assert mails_to(ada.email) == ["Your email address is about to change"]
    client.post(path_in_mail("ada@new.example", "confirm"))
    assert identity(ada) == ("ada@new.example", [("ada@new.example", True, True)])
    change.refresh_from_db()
    email_changes.undo(change=change, now=timezone.now())
    assert identity(ada)[0] == "ada@engines.example"


# --- at once, and in the database


def test_two_people_confirm_one_address_at_once(ada):
    bob = person("bob@engines.example")
    changes = [asked(user, "both@engines.example") for user in (ada, bob)]
    for change in changes:
        email_changes.agree(change=change, now=timezone.now())
    results = at_once(
        *(lambda c=change: email_changes.confirm(change=c, now=timezone.now()) for change in changes)
    )
    assert kinds(results) == ["EmailChange", "EmailTaken"]


def test_both_mailboxes_agree_at_once(ada):
    change = asked(ada, "ada@new.example")
    now = timezone.now()
    results = at_once(
        *[
            lambda: email_changes.confirm(change=change, now=now),
            lambda: email_changes.agree(change=change, now=now),
        ]
        * 2
    )
    assert identity(ada) == ("ada@new.example", [("ada@new.example", True, True)])
    assert {"EmailChange"} <= set(kinds(results)) <= {"EmailChange", "EmailChangeGone"}
    assert mails_to("ada@new.example").count("Your account now uses this email address") == 1


def test_two_unconfirmed_people_who_want_each_others_addresses(ada):
    one, two = person("one@engines.example", verified=False), person("two@engines.example", verified=False)
    changes = [asked(one, two.email), asked(two, one.email)]
    results = at_once(
        *(lambda c=change: email_changes.confirm(change=c, now=timezone.now()) for change in changes)
    )
    assert kinds(results) == [
        "EmailChange",
        "EmailChangeGone",
    ]  # the first closes the other, without a deadlock


def test_a_person_always_has_an_address(ada):
    """H3: an empty address was stored, once, and every further one broke."""
    with pytest.raises(IntegrityError, match="user_email_not_empty"), transaction.atomic():
        User.objects.filter(pk=ada.pk).update(email="")


@pytest.mark.parametrize("act", ["user", "allauth", "second row"])
def test_the_two_tables_never_disagree(ada, act):
    """H3, M4, M6: User.email and allauth's row of it are one, or the transaction fails."""
    with pytest.raises(IntegrityError, match="account_emailaddress_is_the_users"), transaction.atomic():
        if act == "user":
            User.objects.filter(pk=ada.pk).update(email="other@engines.example")
        elif act == "allauth":
            EmailAddress.objects.filter(user=ada).update(email="other@engines.example")
        else:
            EmailAddress.objects.create(user=ada, email="other@engines.example")
        connection.check_constraints()


def test_ending_log_ins_ends_those_that_no_list_knows(ada):
    elsewhere = page_of(ada)
    log_ins.end_all(user=ada, now=timezone.now(), because="test")
    assert get_user(elsewhere).is_anonymous


def test_links_tell_nothing_and_do_nothing_by_themselves(ada):
    """Programs that look at mails open every link in them."""
    made(ada, "ada@new.example")
    undo = path_in_mail("ada@engines.example", "undo")
    assert Client().get(undo)["Cache-Control"].find("no-store") >= 0
    assert identity(ada)[0] == "ada@new.example"
    assert people.has_verified_email(User.objects.get(pk=ada.pk))
    assert mail_links.email_change_id(undo.split("/")[2], page="email-change-confirm") is None


def test_the_page_names_both_mailboxes_and_where_support_is(ada, settings):
    settings.SUPPORT_EMAIL = "help@example.com"
    client = logged_in(ada)
    client.post("/accounts/email/", {"email": "new@engines.example"})
    text = client.get("/accounts/email/").content.decode()
    assert "We sent emails to new@engines.example and ada@engines.example." in text
    assert 'href="mailto:help@example.com"' in text
