"""What is counted, what is included in a usage period, what is used of it, and what that costs."""

from datetime import datetime
from decimal import Decimal

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import OrganizationOwned
from metering.aggregations import Aggregation
from superagent.foundation.records import Record
from superagent.foundation.row_security import Facts, Published

REQUESTS = "api_requests"
"""Slug of the meter that counts API requests; the house counts it itself."""


class Meter(Record):
    """What is counted, in whole units, and what is made of it: see metering.aggregations.

    The database refuses another aggregation for a meter that exists, and another property for one of `unique` (trigger
    `meter_aggregation_is_fixed`): what was recorded is counted by them.
    """

    slug = models.SlugField(
        _("slug"), max_length=50, unique=True, validators=[RegexValidator(r"^[a-z][a-z0-9_]*$")]
    )
    name = models.CharField(_("name"), max_length=100)
    unit = models.CharField(_("unit"), max_length=40, help_text=_("In the plural: requests, tokens."))
    event_name = models.CharField(
        _("event name"),
        max_length=100,
        unique=True,
        help_text=_("`type` of the CloudEvents that count here."),
    )
    value_property = models.CharField(
        _("value property"),
        max_length=100,
        blank=True,
        help_text=_(
            "Name in a CloudEvent's `data` that holds the quantity; empty: every event counts one. For unique: name in "
            "`properties` or `data` that holds the values to count."
        ),
    )
    aggregation = models.CharField(
        _("aggregation"),
        max_length=10,
        choices=Aggregation.choices,
        default=Aggregation.SUM,
        db_default=Aggregation.SUM.value,
        help_text=_("What is made of the events of a usage period. Cannot be changed later."),
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("An inactive meter takes no events.")
    )
    created_at = models.DateTimeField(default=timezone.now)

    row_security = Published("the catalog of meters is the same for everyone; staff write it")

    class Meta(Record.Meta):
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                name="meter_of_requests_is_a_sum",
                condition=~models.Q(slug=REQUESTS) | models.Q(aggregation=Aggregation.SUM),
                violation_error_message=_("API requests are a sum: their quota is counted in Redis."),
            ),
            models.CheckConstraint(
                name="meter_property_suits_aggregation",
                condition=models.Q(aggregation__in=[Aggregation.SUM, Aggregation.MAX, Aggregation.LATEST])
                | models.Q(aggregation=Aggregation.COUNT, value_property="")
                | models.Q(aggregation=Aggregation.UNIQUE) & ~models.Q(value_property=""),
                violation_error_message=_(
                    "A meter of unique values needs the property that holds them; a count needs none."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def adds_up(self) -> bool:
        return Aggregation(self.aggregation).adds_up

    @property
    def counted(self) -> str:
        """What a quantity is of, in words: "AI tokens", "MB hours (Storage)"."""
        return self.name if self.name.lower().endswith(self.unit.lower()) else f"{self.unit} ({self.name})"


class PricingTerms(OrganizationOwned):
    """Base of rows that hold the terms of one meter for one organization."""

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    included = models.BigIntegerField(
        _("included"), null=True, blank=True, help_text=_("Per period; empty: unlimited.")
    )
    is_hard = models.BooleanField(_("hard"), default=False, help_text=_("Refuses beyond what is included."))
    overage_rate = models.DecimalField(
        _("overage rate"),
        max_digits=20,
        decimal_places=12,
        default=Decimal(0),
        help_text=_("Minor units of the currency per unit beyond what is included."),
    )
    currency = models.CharField(_("currency"), max_length=3, default="usd")

    class Meta(OrganizationOwned.Meta):
        abstract = True
        constraints = [
            models.CheckConstraint(
                name="%(class)s_terms_are_sane",
                condition=(models.Q(included__isnull=True) | models.Q(included__gte=0))
                & models.Q(overage_rate__gte=0),
            )
        ]


class Allowance(PricingTerms):
    """What an organization has of a meter in every usage period, by its plan."""

    updated_at = models.DateTimeField(auto_now=True)

    class Meta(PricingTerms.Meta):
        constraints = [
            *PricingTerms.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "meter"], name="allowance_once"),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id}: {self.included}"


class UsagePeriod(OrganizationOwned):
    """A month of use, half-open `[start, end)`. The database refuses overlaps of one organization's periods
    (constraint `usage_period_no_overlap`, made by the first migration)."""

    start = models.DateTimeField(_("start"))
    end = models.DateTimeField(_("end"))
    anchor = models.DateTimeField(
        _("anchor"),
        help_text=_(
            "Months are counted from here, so that 31 January is followed by 28 February and 31 March."
        ),
    )
    closed_at = models.DateTimeField(
        _("closed"), null=True, blank=True, help_text=_("By the organization's clock; rated then, once.")
    )

    class Meta(OrganizationOwned.Meta):
        ordering = ["-start"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "start"], name="usage_period_starts_once"),
            models.CheckConstraint(
                name="usage_period_has_length", condition=models.Q(start__lt=models.F("end"))
            ),
        ]
        indexes = [
            models.Index(
                fields=["end"], condition=models.Q(closed_at__isnull=True), name="usage_period_to_close"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} – {self.end:%Y-%m-%d}"

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


class Quota(PricingTerms):
    """An organization's allowance of a meter in one usage period, and what is used of it."""

    period = models.ForeignKey(UsagePeriod, on_delete=models.CASCADE, related_name="quotas")
    used = models.BigIntegerField(_("used"), default=0, help_text=_("Counted until the period was closed."))
    late_quantity = models.BigIntegerField(
        _("late"), default=0, help_text=_("Came, or was taken back, after the period was closed.")
    )
    late_rated = models.BigIntegerField(
        _("late, rated"), default=0, help_text=_("The part of it that later periods have rated.")
    )
    has_unrated_use = models.BooleanField(
        _("late use to rate"), default=False, db_default=False, help_text=_("The next period rates it.")
    )
    difference = models.BigIntegerField(
        _("difference"),
        default=0,
        db_default=0,
        help_text=_(
            "By how much the facts exceed what is counted, as the last proof of a closed period found it."
        ),
    )
    is_closed = models.BooleanField(
        _("closed"), default=False, help_text=_("The period's, repeated here, where counting locks the row.")
    )

    class Meta(PricingTerms.Meta):
        constraints = [
            *PricingTerms.Meta.constraints,
            models.UniqueConstraint(fields=["period", "meter"], name="quota_once"),
            models.CheckConstraint(name="quota_used_not_negative", condition=models.Q(used__gte=0)),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="quota_organization"),
            models.Index(
                fields=["organization"],
                condition=models.Q(is_closed=True, has_unrated_use=True)
                | models.Q(is_closed=True) & ~models.Q(late_quantity=models.F("late_rated")),
                name="quota_unrated",
            ),
            models.Index(fields=["organization"], condition=~models.Q(difference=0), name="quota_disproved"),
        ]

    def __str__(self) -> str:
        return f"{self.used} of {self.included}"

    @property
    def total(self) -> int:
        """Everything counted for the period, late use included."""
        return self.used + self.late_quantity

    @property
    def remaining(self) -> int | None:
        """None: unlimited."""
        return None if self.included is None else max(0, self.included - self.total)


class FormerTerms(PricingTerms):
    """The terms of a quota until a change of plan in the middle of its period; what was used under them, by the time of
    its use and not of its arrival, is rated by them."""

    quota = models.ForeignKey(Quota, on_delete=models.CASCADE, related_name="former_terms")
    used_until = models.BigIntegerField(
        _("used until then"), help_text=_("Of the period, under earlier terms too.")
    )
    replaced_at = models.DateTimeField(_("replaced"))

    class Meta(PricingTerms.Meta):
        ordering = ["replaced_at", "id"]

    def __str__(self) -> str:
        return f"until {self.used_until}"


class RatedLine(OrganizationOwned):
    """A priced line of a closed period: its overage, or an adjustment of an earlier period by late use."""

    class Kind(models.TextChoices):
        OVERAGE = "overage", _("Overage")
        ADJUSTMENT = "adjustment", _("Adjustment")

    period = models.ForeignKey(UsagePeriod, on_delete=models.PROTECT, related_name="lines")
    about = models.ForeignKey(
        UsagePeriod, on_delete=models.PROTECT, related_name="+", help_text=_("The period of the use.")
    )
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    quantity = models.BigIntegerField(_("quantity"))
    rate = models.DecimalField(_("rate"), max_digits=20, decimal_places=12)
    amount = models.BigIntegerField(
        _("amount"), help_text=_("Minor units; negative: in the customer's favour.")
    )
    currency = models.CharField(_("currency"), max_length=3)
    rated_at = models.DateTimeField(_("rated"))

    row_security = Facts()

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["period", "about", "meter", "rate", "currency"], name="rated_line_once"
            )
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="rated_line_organization")]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.rate}"


class Allotment(OrganizationOwned):
    """What a counter may give out of a hard request quota without asking PostgreSQL: see `admission.allotments`."""

    quota = models.ForeignKey(Quota, on_delete=models.CASCADE, related_name="allotments")
    seed = models.CharField(
        _("seed"), max_length=40, help_text=_("Name of the counter's turn, in each request's line.")
    )
    granted = models.BigIntegerField(_("granted"), default=0)
    settled = models.BigIntegerField(
        _("settled"), default=0, help_text=_("Units of it that are counted by now, or were not used.")
    )
    valid_until = models.DateTimeField(_("valid until"), help_text=_("Nothing is given out afterwards."))

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["organization", "seed"], name="allotment_seed_once"),
            models.CheckConstraint(
                name="allotment_not_overdrawn",
                condition=models.Q(settled__gte=0) & models.Q(settled__lte=models.F("granted")),
            ),
        ]
        indexes = [models.Index(fields=["valid_until"], name="allotment_over")]

    def __str__(self) -> str:
        return f"{self.seed}: {self.settled} of {self.granted}"


class QuotaAlert(OrganizationOwned):
    """A warning that was sent: once for each period, meter and threshold."""

    period = models.ForeignKey(UsagePeriod, on_delete=models.CASCADE, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    threshold_percent = models.PositiveSmallIntegerField(_("threshold, %"))
    used = models.BigIntegerField(_("used then"))
    raised_at = models.DateTimeField(_("raised"))

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["period", "meter", "threshold_percent"], name="quota_alert_once")
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="quota_alert_organization")]

    def __str__(self) -> str:
        return f"{self.threshold_percent} %"
