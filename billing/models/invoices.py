from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import OrganizationOwned
from billing.models.subscriptions import Subscription
from superagent.foundation.row_security import Projection


class Invoice(OrganizationOwned):
    """Projection of a Stripe invoice."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        OPEN = "open", _("Open")
        PAID = "paid", _("Paid")
        UNCOLLECTIBLE = "uncollectible", _("Uncollectible")
        VOID = "void", _("Void")

    stripe_id = models.CharField(_("Stripe invoice"), max_length=255, unique=True)
    number = models.CharField(_("number"), max_length=100, blank=True)
    status = models.CharField(_("status"), max_length=15, choices=Status.choices)
    billing_reason = models.CharField(_("reason"), max_length=40, blank=True)
    subscription = models.ForeignKey(
        Subscription, null=True, blank=True, on_delete=models.PROTECT, related_name="invoices"
    )
    stripe_subscription_id = models.CharField(max_length=255, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    subtotal = models.BigIntegerField(_("subtotal"))
    discount = models.BigIntegerField(_("discount"), default=0)
    tax = models.BigIntegerField(_("tax"), default=0)
    total = models.BigIntegerField(_("total"))
    amount_due = models.BigIntegerField(_("due"))
    amount_paid = models.BigIntegerField(_("paid"))
    amount_remaining = models.BigIntegerField(_("remaining"))
    period_start = models.DateTimeField(_("period starts"))
    period_end = models.DateTimeField(_("period ends"))
    attempt_count = models.PositiveIntegerField(_("attempts"), default=0)
    next_payment_attempt = models.DateTimeField(_("next attempt"), null=True, blank=True)
    automatically_finalizes_at = models.DateTimeField(null=True, blank=True)
    hosted_url = models.URLField(max_length=2000, blank=True)
    pdf_url = models.URLField(max_length=2000, blank=True)
    created_at = models.DateTimeField(_("created"))
    finalized_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)

    row_security = Projection()

    class Meta(OrganizationOwned.Meta):
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="invoice_organization"),
            models.Index(fields=["organization", "-id"], name="invoice_organization_id"),
        ]

    def __str__(self) -> str:
        return self.number or self.stripe_id


class InvoiceLine(OrganizationOwned):
    """A line of an invoice; the lines of a draft are replaced at every sync."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    stripe_id = models.CharField(max_length=255)
    position = models.PositiveIntegerField()
    description = models.CharField(_("description"), max_length=500, blank=True)
    quantity = models.BigIntegerField(_("quantity"), null=True)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    is_proration = models.BooleanField(default=False)
    invoice_item_id = models.CharField(
        max_length=255, blank=True, help_text=_("Stripe's invoice item, if it is one.")
    )

    row_security = Projection()

    class Meta(OrganizationOwned.Meta):
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["invoice", "stripe_id"], name="invoice_line_once")]
        indexes = [models.Index(fields=["organization", "-id"], name="invoice_line_organization")]

    def __str__(self) -> str:
        return self.description


class Payment(OrganizationOwned):
    """Projection of a Stripe payment intent with the state of its charge."""

    class Status(models.TextChoices):
        PROCESSING = "processing", _("Processing")
        REQUIRES_ACTION = "requires_action", _("Requires action by the customer")
        FAILED = "failed", _("Failed")
        SUCCEEDED = "succeeded", _("Succeeded")
        CANCELED = "canceled", _("Canceled")

    stripe_id = models.CharField(_("Stripe payment intent"), max_length=255, unique=True)
    charge_id = models.CharField(_("Stripe charge"), max_length=255, blank=True)
    invoice = models.ForeignKey(
        Invoice, null=True, blank=True, on_delete=models.SET_NULL, related_name="payments"
    )
    status = models.CharField(_("status"), max_length=20, choices=Status.choices)
    amount = models.BigIntegerField(_("amount"))
    amount_refunded = models.BigIntegerField(_("refunded"), default=0)
    currency = models.CharField(_("currency"), max_length=3)
    description = models.CharField(_("description"), max_length=500, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_message = models.CharField(_("reason of failure"), max_length=500, blank=True)
    card_brand = models.CharField(max_length=30, blank=True)
    card_last_four = models.CharField(max_length=4, blank=True)
    created_at = models.DateTimeField(_("created"))

    row_security = Projection()

    class Meta(OrganizationOwned.Meta):
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="payment_organization"),
            models.Index(fields=["organization", "-id"], name="payment_organization_id"),
        ]

    def __str__(self) -> str:
        return self.stripe_id

    def is_refunded(self) -> bool:
        """True if refunded in full; pending refunds do not count, because they may fail."""
        returned = sum(refund.amount for refund in self.refunds.all() if refund.status == "succeeded")
        return self.status == self.Status.SUCCEEDED and returned >= self.amount > 0


class Refund(OrganizationOwned):
    """Projection of a Stripe refund."""

    stripe_id = models.CharField(_("Stripe refund"), max_length=255, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    status = models.CharField(_("status"), max_length=20)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created"))

    row_security = Projection()

    class Meta(OrganizationOwned.Meta):
        indexes = [models.Index(fields=["organization", "-id"], name="refund_organization")]

    def __str__(self) -> str:
        return self.stripe_id


class OverageCharge(OrganizationOwned):
    """The overage of a closed usage period for one meter: rated once, invoiced once."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        INVOICED = "invoiced", _("Invoiced")
        WAIVED = "waived", _("Waived")

    period = models.ForeignKey("metering.UsagePeriod", on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey("metering.Meter", on_delete=models.PROTECT, related_name="+")
    subscription = models.ForeignKey(
        Subscription, null=True, blank=True, on_delete=models.PROTECT, related_name="overage_charges"
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    quantity = models.BigIntegerField(_("quantity"))
    amount = models.BigIntegerField(_("amount"), help_text=_("In minor units."))
    currency = models.CharField(_("currency"), max_length=3)
    description = models.CharField(_("description"), max_length=500)
    target_invoice_id = models.CharField(
        _("target invoice"),
        max_length=255,
        blank=True,
        help_text=_("The Stripe invoice to put it on."),
    )
    is_carried_over = models.BooleanField(
        default=False, help_text=_("The target was final already; it goes on the next invoice.")
    )
    invoice_item_id = models.CharField(
        _("Stripe invoice item"), max_length=255, unique=True, null=True, blank=True
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True, help_text=_("Why it was waived."))
    created_at = models.DateTimeField(default=timezone.now)
    invoiced_at = models.DateTimeField(null=True, blank=True)

    row_security = Projection()

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["period", "meter", "currency"], name="overage_charge_once"),
            models.CheckConstraint(
                name="overage_invoiced_has_an_item",
                condition=~Q(status="invoiced") | Q(invoice_item_id__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="overage_organization"),
            models.Index(fields=["created_at"], condition=Q(status="pending"), name="overage_pending"),
        ]

    def __str__(self) -> str:
        return self.description
