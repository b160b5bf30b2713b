"""Stripe's wire: keys, errors, idempotency, lists, expansion, metadata, catalogue, refunds."""

import subprocess
import sys
import uuid
from typing import Any

import psutil
import pytest
import stripe
from stripe.params import CustomerCreateParams

from tests.fixtures import loopback
from tests.sandbox import conformance
from tests.sandbox.conftest import KEY, ROOT, Server, Shop, call


def test_account(client: stripe.StripeClient) -> None:
    account = client.v1.accounts.retrieve_current()
    assert account.id.startswith("acct_") and account.settings.dashboard.display_name


def test_health_needs_no_key(server: Server) -> None:
    assert loopback.get(server.url + "/health").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer nonsense", "Bearer sk_live_abcdefghijklmnopqrstuvwx", "Basic !!"]
)
def test_a_bad_key_is_refused(server: Server, header: str) -> None:
    answer = loopback.get(server.url + "/v1/account", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["Request-Id"].startswith("req_")


def test_basic_authentication(server: Server) -> None:
    assert loopback.get(server.url + "/v1/account", auth=(KEY, "")).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"emial": "a@example.com"}, "parameter_unknown", "emial"),
        ({"address[streeet]": "x"}, "parameter_unknown", "address[streeet]"),
        ({"balance": "many"}, "parameter_invalid_integer", "balance"),
        ({"test_clock": "clock_none"}, "resource_missing", "test_clock"),
        ({"tax_exempt": "maybe"}, None, "tax_exempt"),
    ],
)
def test_wrong_parameters_are_named(
    server: Server, body: dict[str, str], code: str | None, param: str
) -> None:
    answer = call(server, "POST", "/v1/customers", data=body)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code"), error["param"]) == (400, code, param)


def test_missing_parameter_object_and_address(server: Server) -> None:
    answer = call(server, "POST", "/v1/products")
    assert answer.json()["error"]["code"] == "parameter_missing"
    answer = call(server, "GET", "/v1/customers/cus_none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")
    assert call(server, "GET", "/v1/nothing").status_code == 404
    assert call(server, "GET", "/v1/account", headers={"Stripe-Version": "2020-01-01"}).status_code == 400


def test_a_feature_that_is_not_built_says_so(server: Server, shop: Shop) -> None:
    answer = call(
        server,
        "POST",
        "/v1/subscriptions",
        data={
            "customer": "cus_x",
            "items[0][price]": shop.monthly.id,
            "application_fee_percent": "1",
        },
    )
    assert answer.json()["error"]["code"] == "sandbox_unsupported"


def test_the_same_key_replays_and_other_parameters_conflict(client: stripe.StripeClient) -> None:
    options: Any = {"idempotency_key": str(uuid.uuid4())}
    params: CustomerCreateParams = {"email": "once@example.com"}
    first = client.v1.customers.create(params, options=options)
    second = client.v1.customers.create(params, options=options)
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.customers.create({"email": "other@example.com"}, options=options)
    assert refused.value.http_status == 400


def test_a_declined_charge_is_replayed_too(shop: Shop) -> None:
    customer = shop.customer("4000000000000341")
    method = shop.client.v1.payment_methods.list({"customer": customer.id}).data[0]
    options: Any = {"idempotency_key": str(uuid.uuid4())}
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            shop.client.v1.payment_intents.create(
                {
                    "amount": 900,
                    "currency": "usd",
                    "customer": customer.id,
                    "payment_method": method.id,
                    "confirm": True,
                    "off_session": True,
                },
                options=options,
            )
    assert len(shop.client.v1.payment_intents.list({"customer": customer.id}).data) == 1


def test_lists_are_paged_newest_first(client: stripe.StripeClient) -> None:
    email = f"{uuid.uuid4()}@example.com"
    made = [client.v1.customers.create({"email": email, "metadata": {"n": str(n)}}).id for n in range(5)]
    page = client.v1.customers.list({"email": email, "limit": 2})
    assert [c.id for c in page.data] == made[:-3:-1] and page.has_more
    assert [c.id for c in page.auto_paging_iter()] == made[::-1]
    before = client.v1.customers.list({"email": email, "limit": 2, "ending_before": made[1]})
    assert [c.id for c in before.data] == [made[3], made[2]]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.list({"limit": 101})


def test_metadata_merges_and_empties(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    update = client.v1.customers.update
    assert update(customer.id, {"metadata": {"b": "", "c": "3"}}).metadata.to_dict() == {"a": "1", "c": "3"}
    assert update(customer.id, {"metadata": ""}).metadata.to_dict() == {}


def test_expand_goes_deep_and_refuses_nonsense(shop: Shop) -> None:
    customer = shop.customer()
    shop.client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": shop.monthly.id}]})
    found = shop.client.v1.subscriptions.list(
        {
            "customer": customer.id,
            "expand": ["data.latest_invoice.payments", "data.customer"],
        }
    ).data[0]
    assert isinstance(found.latest_invoice, stripe.Invoice) and isinstance(found.customer, stripe.Customer)
    assert found.latest_invoice.payments and found.latest_invoice.payments.data[0].status == "paid"
    whole = shop.client.v1.customers.retrieve(
        customer.id, {"expand": ["subscriptions", "sources", "tax_ids"]}
    )
    assert whole.subscriptions and len(whole.subscriptions.data) == 1
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.customers.retrieve(customer.id, {"expand": ["nonsense"]})


def test_prices_are_found_by_lookup_key(shop: Shop) -> None:
    key = f"pro-{uuid.uuid4()}"
    terms: Any = {"product": shop.product.id, "currency": "usd", "unit_amount": 100, "lookup_key": key}
    first = shop.client.v1.prices.create(terms)
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.prices.create(terms)
    second = shop.client.v1.prices.create({**terms, "transfer_lookup_key": True})
    found = shop.client.v1.prices.list({"lookup_keys": [key], "expand": ["data.product"]}).data
    assert [price.id for price in found] == [second.id]
    assert shop.client.v1.prices.retrieve(first.id).lookup_key is None
    detailed = shop.client.v1.prices.retrieve(second.id, {"expand": ["currency_options", "product", "tiers"]})
    assert isinstance(detailed.product, stripe.Product)


def test_sub_cent_prices_round_once(shop: Shop) -> None:
    price = shop.client.v1.prices.create(
        {
            "product": shop.product.id,
            "currency": "usd",
            "unit_amount_decimal": "0.05",
        }
    )
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "0.05")
    customer = shop.customer()
    item = shop.client.v1.invoice_items.create(
        {
            "customer": customer.id,
            "pricing": {"price": price.id},
            "quantity": 1_230,
        }
    )
    assert item.amount == 62


def test_an_inactive_price_is_not_sold(shop: Shop) -> None:
    shop.client.v1.prices.update(shop.once.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price": shop.once.id, "quantity": 1}],
                "success_url": "http://x.test",
            }
        )


def test_refunds_in_parts(shop: Shop) -> None:
    customer = shop.customer()
    method = shop.client.v1.payment_methods.list({"customer": customer.id}).data[0]
    intent = shop.client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": method.id,
            "confirm": True,
        }
    )
    refund = shop.client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    assert (refund.status, refund.amount) == ("succeeded", 400)
    shop.client.v1.refunds.create({"charge": str(intent.latest_charge)})
    charge = shop.client.v1.charges.retrieve(
        str(intent.latest_charge), {"expand": ["refunds", "balance_transaction", "payment_intent"]}
    )
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"


def test_manual_invoices(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.client.v1.invoices.create({"customer": customer.id, "description": "Last period"})
    shop.client.v1.invoice_items.create(
        {
            "customer": customer.id,
            "invoice": invoice.id,
            "amount": 1200,
            "currency": "usd",
        }
    )
    final = shop.client.v1.invoices.finalize_invoice(invoice.id)
    assert (final.status, final.amount_due) == ("open", 1200)
    assert shop.client.v1.invoices.pay(invoice.id).status == "paid"
    payments = shop.client.v1.invoice_payments.list({"invoice": invoice.id, "expand": ["data.invoice"]})
    assert payments.data[0].amount_paid == 1200
    empty = shop.client.v1.invoices.create({"customer": customer.id})
    shop.client.v1.invoices.delete(empty.id)
    other = shop.client.v1.invoices.create({"customer": customer.id})
    shop.client.v1.invoice_items.create(
        {
            "customer": customer.id,
            "invoice": other.id,
            "amount": 700,
            "currency": "usd",
        }
    )
    shop.client.v1.invoices.finalize_invoice(other.id)
    assert shop.client.v1.invoices.void_invoice(other.id).status == "void"


def test_many_lines_are_paged(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.client.v1.invoices.create({"customer": customer.id})
    for number in range(12):
        shop.client.v1.invoice_items.create(
            {
                "customer": customer.id,
                "invoice": invoice.id,
                "amount": 100 + number,
                "currency": "usd",
            }
        )
    shown = shop.client.v1.invoices.retrieve(invoice.id)
    assert (len(shown.lines.data), shown.lines.has_more, shown.total) == (10, True, 1266)
    assert len(list(shop.client.v1.invoices.line_items.list(invoice.id).auto_paging_iter())) == 12


def test_customers_credit_pays(shop: Shop) -> None:
    customer = shop.customer()
    shop.client.v1.customers.balance_transactions.create(customer.id, {"amount": -2000, "currency": "usd"})
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id}],
            "expand": ["latest_invoice"],
        }
    )
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.total, invoice.amount_due, invoice.amount_paid) == (2900, 900, 900)
    assert shop.client.v1.customers.retrieve(customer.id).balance == 0


def test_items_of_a_subscription(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.monthly.id, "quantity": 2}],
            "metadata": {"plan": "pro"},
        }
    )
    item = shop.client.v1.subscription_items.list({"subscription": subscription.id}).data[0]
    assert item.quantity == 2
    assert shop.client.v1.subscription_items.update(item.id, {"quantity": 5}).quantity == 5
    canceled = shop.client.v1.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})
    assert canceled.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.subscriptions.cancel(subscription.id)


def test_the_sandbox_stands_alone() -> None:
    """It imports neither Django nor any other part of the product."""
    code = (
        "import sys, superagent.sandbox.app\n"
        "print([name for name in sys.modules if name == 'django' or name.startswith('superagent.')"
        " and not name.startswith('superagent.sandbox')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_answered_field_is_checked() -> None:
    """The checker itself finds what is missing, unknown and of the wrong type."""
    problems = conformance.check(
        {"object": "customer", "id": 1, "surname": "x", "created": 1, "livemode": "no"}
    )
    assert {problem.split(":")[0] for problem in problems} == {
        "customer.id",
        "customer.surname",
        "customer.livemode",
    }


def test_small_resources(shop: Shop) -> None:
    customer = shop.customer()
    shop.client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": shop.monthly.id}]})
    charge = shop.client.v1.charges.list({"customer": customer.id}).data[0]
    found = shop.client.v1.balance_transactions.retrieve(str(charge.balance_transaction))
    assert (found.amount, found.fee, found.net) == (2900, 114, 2786)
    assert shop.client.v1.products.features.list(shop.product.id).data == []


def test_a_plain_request_costs_the_sandbox_a_few_milliseconds(server: Server) -> None:
    """Of its processor's time, which does not depend on what else the machine does."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)

    def used_seconds() -> float:
        return sum(process.cpu_times()[:2])

    before = used_seconds()
    with loopback.Client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for _ in range(100):
            http.post(server.url + "/v1/customers", data={"email": "quick@example.com"})
    assert (used_seconds() - before) / 100 < 0.02  # about 2 ms, and what the engine does beside it
