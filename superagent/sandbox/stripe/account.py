"""The one account that owns everything here."""

from typing import Any

from stripe.params import AccountListParams, AccountRetrieveCurrentParams, AccountRetrieveParams

from superagent.sandbox.stripe import ACCOUNT_ID, shapes
from superagent.sandbox.stripe.errors import missing
from superagent.sandbox.stripe.routes import Call, Page, route

CREATED = 1_735_689_600


def account() -> dict[str, Any]:
    """Returns the account."""
    return shapes.build(
        "account",
        id=ACCOUNT_ID,
        business_type="company",
        charges_enabled=True,
        country="US",
        created=CREATED,
        business_profile={"mcc": None, "name": "SuperAgent sandbox", "support_email": None, "url": None},
        capabilities={"card_payments": "active", "transfers": "active"},
        default_currency="usd",
        details_submitted=True,
        email="owner@example.com",
        payouts_enabled=True,
        type="standard",
        settings={
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {
                "decline_on": {"avs_failure": False, "cvc_failure": False},
                "statement_descriptor_prefix": None,
                "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "payments": {
                "statement_descriptor": "SUPERAGENT SANDBOX",
                "statement_descriptor_kana": None,
                "statement_descriptor_kanji": None,
            },
            "dashboard": {"display_name": "SuperAgent sandbox", "timezone": "Etc/UTC"},
        },
    )


@route("GET", "/v1/account", AccountRetrieveCurrentParams)
def retrieve_current(call: Call) -> dict[str, Any]:
    return account()


@route("GET", "/v1/accounts", AccountListParams)
def list_accounts(call: Call) -> Page:
    return Page([], "/v1/accounts")


@route("GET", "/v1/accounts/{account_id}", AccountRetrieveParams)
def retrieve(call: Call, account_id: str) -> dict[str, Any]:
    if account_id != ACCOUNT_ID:
        raise missing("account", account_id)
    return account()
