"""Customer projection: default card, balance, delinquency."""

import structlog
from django.db import transaction

from billing.models import BillingAccount
from billing.stripe import batches, client, fencing, mirror
from billing.stripe.reading import Json, identifier

log = structlog.get_logger(__name__)


@batches.once
def refresh(customer_id: str) -> BillingAccount | None:
    """Fetch and apply. Returns None if it is not ours, missing, or the fetch is stale."""
    token = fencing.next_token()
    try:
        customer = client.call(
            "customers.retrieve",
            customer_id,
            params={"expand": ["invoice_settings.default_payment_method", "default_source", "sources"]},
        )
    except client.StripeObjectMissing:
        return None
    with transaction.atomic():
        account = BillingAccount.objects.select_for_update().filter(stripe_customer_id=customer_id).first()
        if account is None or not fencing.accept(customer_id, token):
            return None
        if customer.get("deleted"):
            log.error("stripe_customer_deleted", customer=customer_id)
            return None
        _apply(account, customer)
    mirror.keep(customer, token)
    return account


def _apply(account: BillingAccount, customer: Json) -> None:
    method = (customer.get("invoice_settings") or {}).get("default_payment_method")
    card = (method or {}).get("card") or {} if isinstance(method, dict) else {}
    account.payment_method_id = identifier(method)
    account.card_brand = card.get("brand") or ""
    account.card_last_four = card.get("last4") or ""
    account.card_expires = f"{card['exp_year']:04d}-{card['exp_month']:02d}" if card.get("exp_year") else ""
    account.balance = customer.get("balance") or 0
    account.currency = customer.get("currency") or account.currency  # Stripe sets it with the first amount
    account.is_delinquent = bool(customer.get("delinquent"))
    account.test_clock_id = identifier(customer.get("test_clock"))
    account.save()
