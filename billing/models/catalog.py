from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from metering.quotas import allowances
from superagent.foundation.records import Record
from superagent.foundation.row_security import Published

_CATALOG = Published("the catalog is public; staff and sync_catalog write it in the system scope")


class Interval(models.TextChoices):
    MONTH = "month", _("Monthly")
    YEAR = "year", _("Yearly")
    ONCE = "once", _("Once")


class Product(Record):
    """Anything sold."""

    row_security = _CATALOG

    class Kind(models.TextChoices):
        API_PLAN = "api_plan", _("API plan")
        LICENSE = "license", _("License")

    slug = models.SlugField(
        _("slug"), max_length=60, unique=True, help_text=_("Immutable: the API uses it as the id.")
    )
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    description = models.CharField(_("description"), max_length=300, blank=True)
    position = models.PositiveSmallIntegerField(
        _("position"), default=0, help_text=_("Order in lists, lowest first.")
    )
    is_active = models.BooleanField(_("on sale"), default=True)
    stripe_id = models.CharField(_("Stripe product"), max_length=255, unique=True, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Record.Meta):
        ordering = ["kind", "position", "slug"]

    def __str__(self) -> str:
        return self.name


class Plan(Record):
    """One version of an API plan. A published version is immutable: subscriptions keep the one they bought."""

    row_security = _CATALOG

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="plans")
    version = models.PositiveIntegerField(_("version"), default=1)
    rank = models.PositiveSmallIntegerField(
        _("rank"), help_text=_("A change to a higher rank is an upgrade.")
    )
    features = models.JSONField(
        _("features"), default=list, help_text=_("Selling points for the pricing table.")
    )
    trial_days = models.PositiveSmallIntegerField(_("trial days"), default=0)
    is_published = models.BooleanField(
        _("published"), default=False, help_text=_("Whether this version is on sale.")
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Record.Meta):
        ordering = ["rank", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["product", "version"], name="plan_version_once"),
            models.UniqueConstraint(
                fields=["product"], condition=Q(is_published=True), name="plan_published_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product.name} v{self.version}"

    @property
    def slug(self) -> str:
        return self.product.slug

    @property
    def name(self) -> str:
        return self.product.name


class PlanAllowance(Record):
    """A plan's allowance of one meter in a usage period, and the overage rate."""

    row_security = _CATALOG

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="allowances")
    meter = models.ForeignKey("metering.Meter", on_delete=models.PROTECT, related_name="+")
    included = models.BigIntegerField(
        _("included"), null=True, blank=True, help_text=_("Empty is unlimited.")
    )
    is_hard = models.BooleanField(
        _("hard"), default=True, help_text=_("Refuse requests over it instead of billing overage.")
    )
    overage_rate = models.DecimalField(
        _("overage rate"),
        max_digits=20,
        decimal_places=12,
        default=0,
        help_text=_("Minor units for each unit over the included amount."),
    )
    currency = models.CharField(_("currency"), max_length=3, default="usd")

    class Meta(Record.Meta):
        ordering = ["meter__slug"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "meter"], name="plan_allowance_once"),
            models.CheckConstraint(
                name="plan_allowance_not_negative",
                condition=(Q(included__isnull=True) | Q(included__gte=0)) & Q(overage_rate__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {'unlimited' if self.included is None else self.included}"

    def clean(self) -> None:
        if wrong := allowances.out_of_bounds(
            included=self.included, overage_rate=self.overage_rate or Decimal(0)
        ):
            raise ValidationError(wrong)


class Price(Record):
    """A product's price. Immutable once sold: a new amount is a new row, and the old one is taken off sale."""

    row_security = _CATALOG

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="prices")
    plan = models.ForeignKey(
        Plan,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="prices",
        help_text=_("For API plans."),
    )
    interval = models.CharField(_("interval"), max_length=10, choices=Interval.choices)
    currency = models.CharField(_("currency"), max_length=3, default="usd")
    unit_amount = models.PositiveIntegerField(_("amount"), help_text=_("In minor units: 2900 is $29.00."))
    is_active = models.BooleanField(_("on sale"), default=True)
    stripe_id = models.CharField(_("Stripe price"), max_length=255, unique=True, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Record.Meta):
        ordering = ["product", "interval", "unit_amount"]
        constraints = [
            models.UniqueConstraint(
                fields=["product", "interval", "currency"],
                condition=Q(is_active=True),
                name="price_on_sale_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.product.name} {self.unit_amount} {self.currency}/{self.interval}"

    @property
    def lookup_key(self) -> str:
        """Stripe's lookup key of this price; it contains everything that identifies the price."""
        version = f"v{self.plan.version}" if self.plan else "v1"
        return f"{self.product.slug}_{version}_{self.interval}_{self.currency}_{self.unit_amount}"
