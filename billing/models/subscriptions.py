from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.managers import OwnedQuerySet
from accounts.models import OrganizationOwned
from billing.models.catalog import Interval, Plan, Price, Product
from billing.models.orders import OrderItem


class SubscriptionQuerySet(OwnedQuerySet):
    def live(self) -> "SubscriptionQuerySet":
        """Subscriptions that grant what was bought: active, trialing, or past due while the payment is retried."""
        return self.filter(status__in=Subscription.LIVE)

    def running(self) -> "SubscriptionQuerySet":
        """Subscriptions that have not ended and are not canceled: they will be charged again."""
        is_canceling = Q(status__in=Subscription.LIVE) & (
            Q(cancel_at_period_end=True) | Q(cancel_at__isnull=False)
        )
        return self.exclude(status__in=Subscription.ENDED).exclude(is_canceling)

    def of_plans(self) -> "SubscriptionQuerySet":
        return self.filter(product__kind=Product.Kind.API_PLAN)


SubscriptionManager = models.Manager.from_queryset(SubscriptionQuerySet)


class Subscription(OrganizationOwned):
    """Projection of a Stripe subscription: of an API plan, or of a license with its order item."""

    class Status(models.TextChoices):
        INCOMPLETE = "incomplete", _("Incomplete")
        INCOMPLETE_EXPIRED = "incomplete_expired", _("Expired")
        TRIALING = "trialing", _("Trial")
        ACTIVE = "active", _("Active")
        PAST_DUE = "past_due", _("Past due")
        UNPAID = "unpaid", _("Suspended")
        PAUSED = "paused", _("Paused")
        CANCELED = "canceled", _("Canceled")

    LIVE = (Status.TRIALING, Status.ACTIVE, Status.PAST_DUE)
    ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)

    stripe_id = models.CharField(_("Stripe subscription"), max_length=255, unique=True)
    stripe_item_id = models.CharField(max_length=255)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    plan = models.ForeignKey(
        Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="subscriptions"
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="subscriptions")
    order_item = models.OneToOneField(
        OrderItem, null=True, blank=True, on_delete=models.PROTECT, related_name="subscription"
    )
    status = models.CharField(_("status"), max_length=20, choices=Status.choices)
    interval = models.CharField(_("interval"), max_length=10, choices=Interval.choices)
    current_period_start = models.DateTimeField(_("period starts"))
    current_period_end = models.DateTimeField(_("period ends"))
    cancel_at_period_end = models.BooleanField(_("ends with the period"), default=False)
    cancel_at = models.DateTimeField(null=True, blank=True)
    cancellation_reason = models.CharField(max_length=300, blank=True)
    ended_for_nonpayment = models.BooleanField(
        default=False, db_default=False, help_text=_("Ended by Stripe because payment failed.")
    )
    is_collection_paused = models.BooleanField(
        _("collection paused"), default=False, db_default=False, help_text=_("Renewals are not charged.")
    )
    canceled_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    trial_end = models.DateTimeField(_("trial ends"), null=True, blank=True)
    schedule_id = models.CharField(_("Stripe schedule"), max_length=255, blank=True, db_default="")
    pending_price = models.ForeignKey(
        Price,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        verbose_name=_("follows"),
        help_text=_("The price from the end of the paid period; empty if it stays the same."),
    )
    pending_at = models.DateTimeField(_("follows on"), null=True, blank=True)
    past_due_since = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(_("started"))
    synced_at = models.DateTimeField(default=timezone.now)
    last_act = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text=_("Mark of our last call that changed it."),
    )

    objects = SubscriptionManager()  # type: ignore[misc]  # a richer manager than the base's

    class Meta(OrganizationOwned.Meta):
        indexes = [
            models.Index(fields=["organization", "-id"], name="subscription_organization"),
            models.Index(fields=["status", "current_period_end"], name="subscription_period"),
        ]
        constraints = [
            models.CheckConstraint(
                name="subscription_period_is_ordered",
                condition=Q(current_period_start__lt=models.F("current_period_end")),
            ),
            models.CheckConstraint(
                name="subscription_change_has_a_date",
                condition=Q(pending_price__isnull=True, pending_at__isnull=True)
                | Q(pending_price__isnull=False, pending_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stripe_id} ({self.get_status_display()})"

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE

    @property
    def has_ended(self) -> bool:
        return self.status in self.ENDED

    @property
    def pending(self) -> "Subscription | None":
        """Returns the subscription itself if a change is scheduled (`pending_price` from `pending_at`), else None."""
        return self if self.pending_price_id else None

    @property
    def renewal_price(self) -> Price:
        """The price of the next period."""
        return self.pending_price or self.price

    @property
    def is_canceling(self) -> bool:
        return self.is_live and (self.cancel_at_period_end or self.cancel_at is not None)
