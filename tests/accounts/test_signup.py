"""Sign-up with a chosen plan, confirmation, invitations: as a visitor meets them, through the pages."""

from urllib.parse import urlencode

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, mail_links, memberships, people
from accounts.models import User
from accounts.roles import Role
from superagent.foundation import outbox, tenancy
from tests.accounts.conftest import PASSWORD, page_of, path_in_mail, person, role_of

DASHBOARD = reverse("dashboard")
MAIL_SENT = reverse("account_email_verification_sent")

ADA = {
    "full_name": "Ada Lovelace",
    "email": "Ada@engines.example",
    "password1": PASSWORD,
    "organization_name": "Engines",
}
pytestmark = pytest.mark.django_db(transaction=True)


def test_sign_up_confirm_and_go_on_to_the_chosen_plan():
    client = Client()
    page = client.get("/accounts/signup/?plan=pro&interval=month")
    assert page.status_code == 200
    signed_up = client.post("/accounts/signup/?plan=pro&interval=month", ADA)
    assert (signed_up.status_code, signed_up["Location"]) == (302, f"{MAIL_SENT}?plan=pro&interval=month")
    user = User.objects.get(email="ada@engines.example")
    assert memberships.find(user, None).organization.name == "Engines"
    assert get_user(client).is_anonymous

    waits = client.get(signed_up["Location"]).content.decode()
    assert "ada@engines.example" in waits
    assert "/accounts/signup/?plan=pro&amp;interval=month" in waits  # for another address

    confirm = path_in_mail(user.email, "confirm-email")
    assert 'name="password"' not in client.get(confirm).content.decode()  # this browser has just chosen it
    assert not people.has_verified_email(user)
    confirmed = client.post(confirm)
    assert confirmed["Location"] == "/checkout/?plan=pro&interval=month"
    assert people.has_verified_email(user)
    assert get_user(client) == user
    user.refresh_from_db()
    assert user.continue_to == ""
    assert client.get(signed_up["Location"])["Location"] == "/checkout/?plan=pro&interval=month"


def test_who_logs_in_before_the_confirmation_is_led_to_it_and_back():
    client = Client()
    client.post("/accounts/signup/?plan=pro&interval=month", ADA)
    log_in = {"login": ADA["email"], "password": PASSWORD, "next": "/checkout/?plan=pro&interval=month"}
    blocked = client.get(client.post("/accounts/login/", log_in)["Location"])
    assert blocked["Location"] == "/verify-email/?next=%2Fcheckout%2F%3Fplan%3Dpro%26interval%3Dmonth"
    assert "ada@engines.example" in client.get(blocked["Location"]).content.decode()
    confirmed = client.post(path_in_mail("ada@engines.example", "confirm-email"))
    assert confirmed["Location"] == "/checkout/?plan=pro&interval=month"


def test_confirmation_in_another_browser_asks_for_the_password_and_goes_on():
    Client().post("/accounts/signup/?plan=pro&interval=year", ADA)
    other, link = Client(), path_in_mail("ada@engines.example", "confirm-email")
    assert "enter the password" in other.get(link).content.decode()
    assert other.post(link, {"password": "a wrong one"}).status_code == 422
    assert not EmailAddress.objects.get(email="ada@engines.example").verified
    confirmed = other.post(link, {"password": PASSWORD})
    assert confirmed["Location"] == "/checkout/?plan=pro&interval=year"
    assert EmailAddress.objects.get(email="ada@engines.example").verified


@pytest.mark.parametrize(
    "changed, field",
    [
        ({"email": "nonsense"}, "email"),
        ({"password1": "short"}, "password1"),
        ({"password1": "Lovelace12"}, "password1"),
        ({"full_name": ""}, "full_name"),
    ],
)
def test_sign_up_says_what_is_wrong_and_keeps_the_input(changed, field):
    person("olga@acme.example")
    page = Client().post("/accounts/signup/", ADA | changed)
    assert page.status_code == 200
    assert list(page.context["form"].errors) == [field]
    assert 'value="Engines"' in page.content.decode()
    assert User.objects.count() == 1


@pytest.mark.parametrize("following", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_sign_up_never_goes_on_to_another_site(following):
    client = Client()
    client.post(f"/accounts/signup/?{urlencode({'next': following})}", ADA)
    confirmed = client.post(path_in_mail("ada@engines.example", "confirm-email"))
    assert confirmed["Location"] == DASHBOARD


def test_the_confirmation_is_sent_again_but_not_at_once():
    user = person("ada@engines.example", verified=False)
    client = page_of(user)
    for _ in range(2):
        assert client.post("/verify-email/").status_code == 302
    outbox.sweep()
    assert [sent.to for sent in mail.outbox] == [["ada@engines.example"]]


def test_who_is_confirmed_goes_on_at_once():
    client = page_of(person("ada@engines.example"))
    assert client.get("/verify-email/?next=/members/")["Location"] == "/members/"
    assert client.get("/verify-email/?next=https://evil.example/")["Location"] == DASHBOARD


def test_failed_log_ins_are_limited():
    person("ada@engines.example")
    client = Client()
    wrong = {"login": "ada@engines.example", "password": "wrong"}
    texts = [client.post("/accounts/login/", wrong).content.decode() for _ in range(11)]
    assert "Too many failed attempts from your network. Try again in 2 minutes." in texts[-1]
    right = client.post("/accounts/login/", wrong | {"password": PASSWORD})
    assert right.status_code == 200


def invited(acme, owner, email="new@acme.example") -> str:
    with tenancy.tenant(acme):
        made = invitations.invite(
            organization=acme,
            email=email,
            role=Role.DEVELOPER,
            invited_by=owner,
            now=timezone.now(),
        )
    return f"/invitations/{mail_links.invitation_token(made)}/"


def test_an_invitation_makes_an_account_and_a_member(acme, owner):
    link = invited(acme, owner)
    assert path_in_mail("new@acme.example", "invitations") == link
    client = Client()
    assert "Join Acme" in client.get(link).content.decode()
    weak = client.post(link, {"full_name": "New", "password": "short"})
    assert (weak.status_code, list(weak.context["form"].errors)) == (422, ["password"])
    joined = client.post(link, {"full_name": "New", "password": PASSWORD})
    assert (joined.status_code, joined["Location"]) == (302, DASHBOARD)
    user = User.objects.get(email="new@acme.example")
    assert role_of(user, acme) == Role.DEVELOPER
    assert EmailAddress.objects.get(user=user).verified
    assert client.get("/members/").status_code == 200
    assert Client().get(link).status_code == 410


def test_an_invitation_of_someone_with_an_account(acme, owner):
    link = invited(acme, owner)
    user = person("new@acme.example")
    assert "Log in as" in Client().get(link).content.decode()
    client = page_of(user)
    assert client.post(link)["Location"] == DASHBOARD
    assert role_of(user, acme) == Role.DEVELOPER


def test_an_invitation_of_another_person(acme, owner, stranger):
    link = invited(acme, owner)
    client = page_of(stranger)
    assert "you are logged in as stefan@globex.example" in client.get(link).content.decode()
    assert client.post(link).status_code == 403
    assert role_of(stranger, acme) is None


def test_a_link_that_was_not_signed_is_404():
    assert Client().get("/invitations/nonsense/").status_code == 404
