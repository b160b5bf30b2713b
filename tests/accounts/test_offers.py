"""What a pricing link chose, shown at sign-up; the app that sells provides it."""

import pytest

from accounts import offers
from accounts.models import User

FORM = {"full_name": "Ada", "email": "ada@engines.example", "password1": "seven words that nobody guesses"}


@pytest.fixture(autouse=True)
def _nothing_sold(monkeypatch):
    monkeypatch.setattr(offers.find, "function", offers.find.__wrapped__)


def test_without_an_app_that_sells_nothing_was_chosen():
    assert offers.find({"plan": "pro"}) is None


def test_sign_up_shows_what_was_chosen(client, db):
    offers.find.provide(
        lambda chosen: offers.Offer("Pro", 2900, "usd", "month") if chosen["plan"] == "pro" else None
    )
    text = client.get("/accounts/signup/?plan=pro&interval=month").content.decode()
    assert "You chose" in text
    assert "$29" in text
    assert "You chose" not in client.get("/accounts/signup/?plan=gold").content.decode()


@pytest.mark.parametrize(
    "unit_amount, continue_to", [(0, ""), (2900, "/checkout/?plan=pro")], ids=["free", "paid"]
)
def test_only_what_costs_something_continues_to_the_checkout(client, db, unit_amount, continue_to):
    offers.find.provide(lambda chosen: offers.Offer("Pro", unit_amount, "usd", "month"))
    client.post("/accounts/signup/?plan=pro", FORM)
    assert User.objects.get(email="ada@engines.example").continue_to == continue_to
