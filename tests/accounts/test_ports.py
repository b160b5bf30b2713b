import pytest

from accounts import customers, key_traffic, offers
from accounts.models import User
from accounts.templatetags.audit_labels import action_label
from tests.accounts.conftest import key_of, page_of


@pytest.fixture(autouse=True)
def _ports_as_they_were(monkeypatch):
    for port in (customers.id_of, key_traffic.last_day, offers.find):
        monkeypatch.setattr(port, "function", port.__wrapped__)


def test_without_the_upper_floors_nothing_is_known(acme):
    assert customers.id_of(acme) is None
    assert offers.find({"plan": "pro"}) is None


def test_revoking_quotes_the_calls_of_the_last_day(acme, owner):
    key_of(acme)
    assert "was never used" in page_of(owner).get("/api-keys/").content.decode()
    key_traffic.last_day.provide(lambda organization, key_ids: dict.fromkeys(key_ids, 1234))
    assert "made 1234 calls in the last 24 hours" in page_of(owner).get("/api-keys/").content.decode()


def test_sign_up_shows_what_was_chosen(client, db):
    offers.find.provide(
        lambda chosen: offers.Offer("Pro", 2900, "usd", "month") if chosen["plan"] == "pro" else None
    )
    text = client.get("/accounts/signup/?plan=pro&interval=month").content.decode()
    assert "You chose" in text
    assert "$29" in text
    assert "You chose" not in client.get("/accounts/signup/?plan=gold").content.decode()


def test_what_is_free_needs_no_checkout(client, db):
    offers.find.provide(lambda chosen: offers.Offer("Free", 0, "usd", "month"))
    form = {
        "full_name": "Ada",
        "email": "ada@engines.example",
        "password1": "seven words that nobody guesses",
    }
    client.post("/accounts/signup/?plan=free", form)
    assert User.objects.get(email="ada@engines.example").continue_to == ""


@pytest.mark.parametrize(
    "action, words",
    [("api_key.created", "API key created"), ("member.role_changed", "Member role changed"), ("", "")],
)
def test_action_words(action, words):
    assert action_label(action) == words
