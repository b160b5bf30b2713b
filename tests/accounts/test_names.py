"""Names are one line without addresses, whoever typed them."""

import pytest
from django.test import Client

from accounts import names
from accounts.models import Organization, User
from tests.accounts.conftest import PASSWORD, Api, api_of, page_of

api = Api()

TRICKS = [
    "Ada\r\nBcc: x@y.example",
    "Ada\nYour invoice is overdue",
    "Pay at http://evil.example/pay",
    "pay at HTTPS://evil.example",
    "see www.evil.example",
    "urgent evil.example/login",
    "Ada \u202eelpmaxe.live",
    "Ada\u2028Second line",
    "Ada\x1b[31m",
    "Ada\x85x",
    "\u200b\u200b",
    "Ac\u200bme",
    "Ada\ufeff",
    "soft\u00adware",
    "\u3164",
    "\u200d",
    "\u0301",
]


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_one_line_without_addresses(owner, acme, name):
    """M3: a stranger sent 150 characters of their own to any address, as the name in its first mail."""
    as_owner = api_of(owner)
    answers = [
        (
            api.post("auth/register", {"email": "v@x.example", "password": PASSWORD, "full_name": name}),
            "full_name",
        ),
        (
            api.post(
                "auth/register",
                {"email": "v@x.example", "password": PASSWORD, "full_name": "V", "organization_name": name},
            ),
            "organization_name",
        ),
        (as_owner.patch("auth/me", {"full_name": name}), "full_name"),
        (as_owner.patch(f"users/{owner.pk}", {"full_name": name}), "full_name"),
        (as_owner.post("organizations", {"name": name}), "name"),
        (as_owner.patch(f"organizations/{acme.pk}", {"name": name}), "name"),
        (as_owner.post("api-keys", {"name": name, "scopes": ["usage:read"]}), "name"),
    ]
    for answer, field in answers:
        assert answer.status_code == 400, answer.content
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{field}"]
    page = page_of(owner)
    for path, form in (
        ("/settings/profile/", {"full_name": name}),
        ("/settings/", {"name": name, "email": "a@b.example"}),
        ("/organizations/new/", {"name": name}),
        ("/api-keys/new/", {"name": name, "scopes": ["usage:read"], "lifetime": "7"}),
    ):
        text = page.post(path, form).content.decode()
        told = (
            "Use one line of text",
            "Enter a name with visible characters",
            "Do not include a web address in the name",
        )
        assert any(each in text for each in told), path
    sign_up = {"email": "v@x.example", "password1": PASSWORD, "full_name": name}
    assert Client().post("/accounts/signup/", sign_up).status_code == 200
    assert not User.objects.filter(email="v@x.example").exists()
    assert Organization.objects.filter(name=name).count() == 0


@pytest.mark.parametrize(
    "name",
    ["Zoë O’Brien-Müller", "Booking.com B.V.", "می‌خواهم", "株式会社アクメ", "R&D / Labs", "Acme Inc./Ltd 😀"],
)
def test_honest_names_are_taken(owner, acme, name):
    assert api_of(owner).patch("auth/me", {"full_name": name}).json()["full_name"] == name


def test_a_name_from_a_provider_is_cleaned():
    assert names.cleaned("\u200d \u0301") == ""
    assert names.cleaned("A\u200bda") == "A da"
    assert names.cleaned("Ada\r\n  http://evil.example \u202eLovelace") == "Ada http evil.example Lovelace"
    assert len(names.cleaned("x" * 500)) == 150
