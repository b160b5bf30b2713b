"""Debts: while an organization has an open invoice, it cannot buy or change anything but how it pays."""

from dataclasses import dataclass
from http import HTTPStatus

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse

from accounts.models import Organization
from billing.models import BillingAccount, Invoice, Subscription
from billing.projection import invoices
from billing.stripe import client
from superagent.foundation import tenancy
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import Refusal
from superagent.foundation.templatetags.formats import money

OWED = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)  # staff void the invoice to forgive a debt


class PaymentDue(Refusal):
    """`pay_url` is where the invoice is paid, `invoice` its id in billing/invoices."""

    status = HTTPStatus.CONFLICT
    code = "payment_due"
    title = "An open invoice must be paid first"


@dataclass(frozen=True, slots=True)
class Debt:
    """The oldest open invoice, and its subscription if that has ended."""

    invoice: Invoice
    ended: Subscription | None

    @property
    def pay_url(self) -> str:
        return self.invoice.hosted_url or settings.PUBLIC_URL + reverse("invoice", args=[self.invoice.pk])


def open_invoices(organization: Organization) -> QuerySet[Invoice]:
    """Returns open invoices, oldest first, including those whose first payment is in progress."""
    rows = Invoice.objects.visible_to(organization).filter(status__in=OWED, amount_remaining__gt=0)
    never_begun = [Subscription.Status.INCOMPLETE, Subscription.Status.INCOMPLETE_EXPIRED]
    found: QuerySet[Invoice] = (
        rows.exclude(subscription__status__in=never_begun)
        .select_related("subscription__product")
        .order_by("created_at")
    )
    return found


def owed(organization: Organization) -> Debt | None:
    """Returns the debt that blocks purchases and changes, for pages that would offer them."""
    invoice = open_invoices(organization).first()
    return _debt(invoice) if invoice is not None else None


def declined(organization: Organization) -> Debt | None:
    """Returns the oldest invoice that a card was declined for, for the banner. Every page asks: usually there is none,
    which the cheaper question tells."""
    if not _tried(organization=organization.pk):
        return None
    invoice = open_invoices(organization).filter(attempt_count__gt=0).first()
    return _debt(invoice) if invoice is not None else None


_tried: Prepared[Invoice] = Prepared(
    lambda: (
        Invoice.objects.filter(
            organization=Given("organization"), attempt_count__gt=0, status__in=OWED, amount_remaining__gt=0
        )
        .order_by()
        .only("id")[:1]
    )
)


def require_none(organization: Organization) -> None:
    """Raises PaymentDue while an invoice is open or a subscription's payment is overdue, as far as we know."""
    invoice = open_invoices(organization).first()
    if invoice is not None:
        raise _payment_due(_debt(invoice))
    overdue = Subscription.objects.visible_to(organization).filter(
        status__in=[Subscription.Status.PAST_DUE, Subscription.Status.UNPAID]
    )
    if overdue.exists():  # its invoice has not arrived yet
        raise PaymentDue(
            "A payment is overdue. Pay the open invoice, then try again.",
            invoice=None,
            amount_due=None,
            currency=None,
            pay_url=settings.PUBLIC_URL + reverse("invoices"),
        )


def require_none_at_stripe(organization: Organization) -> None:
    """Like `require_none`, but asks Stripe, whose webhook may not have arrived yet. Calls Stripe."""
    require_none(organization)
    with tenancy.system("open invoices at Stripe"):
        account = BillingAccount.objects.get(organization=organization)
        for status in OWED:
            params = {"customer": account.stripe_customer_id, "status": status, "limit": 1}
            for found in client.call("invoices.list", params=params)["data"]:
                invoices.refresh(found["id"])
    require_none(organization)


def _debt(invoice: Invoice) -> Debt:
    subscription = invoice.subscription
    return Debt(invoice, subscription if subscription is not None and subscription.has_ended else None)


def _payment_due(debt: Debt) -> PaymentDue:
    invoice = debt.invoice
    amount = money(invoice.amount_remaining, invoice.currency)
    return PaymentDue(
        f"Invoice {invoice} of {amount} is open. Pay it, then try again.",
        invoice=str(invoice.pk),
        amount_due=invoice.amount_remaining,
        currency=invoice.currency,
        pay_url=debt.pay_url,
    )
