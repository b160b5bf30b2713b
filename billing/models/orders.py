from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import OrganizationOwned
from billing.models.catalog import Plan, Price, Product


class Order(OrganizationOwned):
    """A purchase at the prices that the customer was shown."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        PAID = "paid", _("Paid")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Expired")
        CANCELED = "canceled", _("Canceled")

    class Payment(models.TextChoices):
        CHECKOUT = "checkout", _("Checkout")
        SAVED_CARD = "saved_card", _("Saved card")

    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    payment = models.CharField(_("payment"), max_length=10, choices=Payment.choices)
    total = models.PositiveIntegerField(_("total"), help_text=_("In minor units."))
    currency = models.CharField(_("currency"), max_length=3)
    failure = models.CharField(_("reason of failure"), max_length=300, blank=True)
    placed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta(OrganizationOwned.Meta):
        indexes = [
            models.Index(fields=["organization", "-id"], name="order_organization"),
            # jobs and staff look for the few unpaid orders
            models.Index(fields=["created_at"], condition=Q(status="pending"), name="order_pending"),
            models.Index(fields=["created_at"], condition=Q(status="failed"), name="order_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} {self.total} {self.currency}"


class OrderItem(OrganizationOwned):
    """An item of an order. A license's subscription pays for one item."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        PAID = "paid", _("Paid")
        FAILED = "failed", _("Failed")

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    unit_amount = models.PositiveIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    options = models.JSONField(_("options"), default=dict)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    paid_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(OrganizationOwned.Meta):
        ordering = ["id"]
        indexes = [models.Index(fields=["organization", "-id"], name="order_item_organization")]

    def __str__(self) -> str:
        return self.product.name


class CheckoutSession(OrganizationOwned):
    """A Stripe Checkout session, for a plan or for an order."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        COMPLETE = "complete", _("Complete")
        EXPIRED = "expired", _("Expired")

    stripe_id = models.CharField(_("Stripe session"), max_length=255, unique=True)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.OPEN)
    url = models.URLField(max_length=2000, blank=True)
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    order = models.ForeignKey(
        Order, null=True, blank=True, on_delete=models.CASCADE, related_name="checkout_sessions"
    )
    stripe_subscription_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta(OrganizationOwned.Meta):
        indexes = [models.Index(fields=["organization", "-id"], name="checkout_organization")]
        constraints = [
            models.CheckConstraint(
                name="checkout_is_for_a_plan_or_an_order",
                condition=Q(plan__isnull=False, order__isnull=True)
                | Q(plan__isnull=True, order__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.stripe_id
