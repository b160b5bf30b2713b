"""What an organization is charged for; the app that charges provides it."""

from datetime import UTC, datetime

import pytest
from django.core import mail

from accounts import charges, closures
from accounts.charges import Due
from accounts.models import Organization
from superagent.foundation import outbox, tenancy
from tests.accounts.closing import CLOSE, ask, shop
from tests.accounts.conftest import page_of

__all__ = ["shop"]  # fixtures


def test_without_an_app_that_charges_an_account_closes_at_once(acme, owner, monkeypatch):
    for port in (charges.running, charges.paying, charges.unbilled, charges.end_all):
        monkeypatch.setattr(port, "function", port.__wrapped__)
    assert (charges.running(acme), charges.unbilled(acme)) == ([], [])
    with tenancy.system("test"):
        assert not charges.paying(Organization.objects.all()).exists()
    assert ask(owner).is_pending
    assert closures.end_stray_charges() == 0


@pytest.mark.usefixtures("shop")
def test_usage_that_will_still_be_billed_is_named_on_the_page_and_in_the_mail(acme, owner, monkeypatch):
    due = Due(amount=400, currency="usd", at=datetime(2026, 12, 1, tzinfo=UTC))
    monkeypatch.setattr(charges.unbilled, "function", lambda organization: [due])
    page = page_of(owner).get(CLOSE).content.decode()
    assert "is still billed: $4.00 so far" in page
    ask(owner)
    outbox.sweep()
    assert "- $4.00 so far, on Dec 1, 2026 (Acme)" in mail.outbox[-1].body
