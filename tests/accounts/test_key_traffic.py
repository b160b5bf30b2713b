"""How many calls a key made, quoted before it is revoked; the app that counts requests provides it."""

import pytest

from accounts import key_traffic
from tests.accounts.conftest import key_of, page_of


@pytest.fixture(autouse=True)
def _nothing_counted(monkeypatch):
    monkeypatch.setattr(key_traffic.last_day, "function", key_traffic.last_day.__wrapped__)


def test_revoking_quotes_the_calls_of_the_last_day(acme, owner):
    key_of(acme)
    assert "was never used" in page_of(owner).get("/api-keys/").content.decode()
    key_traffic.last_day.provide(lambda organization, key_ids: dict.fromkeys(key_ids, 1234))
    assert "made 1234 calls in the last 24 hours" in page_of(owner).get("/api-keys/").content.decode()
