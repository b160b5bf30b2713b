"""All endpoint modules; importing them fills the table of routes. More specific paths come first."""

from superagent.sandbox.stripe import (
    account,
    catalog,
    checkout,
    customer_api,
    discounts,
    events,
    ledger,
    payment_api,
    payment_methods,
    portal,
    preview,
    refunds,
    schedules,
    setup_intents,
    subscription_api,
    test_clocks,
    webhook_endpoints,
)

# `preview` before `invoice_api`: /v1/invoices/create_preview is not the id of an invoice.
from superagent.sandbox.stripe import invoice_api  # isort: skip

MODULES = (
    account,
    catalog,
    checkout,
    customer_api,
    discounts,
    events,
    invoice_api,
    ledger,
    payment_methods,
    payment_api,
    portal,
    preview,
    refunds,
    schedules,
    setup_intents,
    subscription_api,
    test_clocks,
    webhook_endpoints,
)
