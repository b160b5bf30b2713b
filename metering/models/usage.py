"""What is counted, what is included, and the facts: events and requests, never changed once written.

The indexes `…_lately` are for the hourly proofs, which read the last three days of all organizations at once.
"""

from datetime import datetime
from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, OrganizationOwned, User
from superagent.foundation.records import Record
from superagent.foundation.row_security import Facts, Projection, Published

REQUESTS = "api_requests"
"""Slug of the meter that counts API requests; the house counts it itself."""


class Meter(Record):
    """What is counted: whole units, added up."""

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
        help_text=_("Name in a CloudEvent's `data` that holds the quantity; empty: every event counts one."),
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("An inactive meter takes no events.")
    )
    created_at = models.DateTimeField(default=timezone.now)

    row_security = Published("the catalog of meters is the same for everyone; staff write it")

    class Meta(Record.Meta):
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def counted(self) -> str:
        """What a quantity is of, in words: "AI tokens", "MB hours (Storage)"."""
        return self.name if self.name.lower().endswith(self.unit.lower()) else f"{self.unit} ({self.name})"


class TermsRecord(OrganizationOwned):
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


class Allowance(TermsRecord):
    """What an organization has of a meter in every usage period, by its plan."""

    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TermsRecord.Meta):
        constraints = [
            *TermsRecord.Meta.constraints,
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


class Quota(TermsRecord):
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
    is_closed = models.BooleanField(
        _("closed"), default=False, help_text=_("The period's, repeated here, where counting locks the row.")
    )

    class Meta(TermsRecord.Meta):
        constraints = [
            *TermsRecord.Meta.constraints,
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


class FormerTerms(TermsRecord):
    """The terms of a quota until a change of plan in the middle of its period; what was used under them, by the time of
    its use and not of its arrival, is rated by them."""

    quota = models.ForeignKey(Quota, on_delete=models.CASCADE, related_name="former_terms")
    used_until = models.BigIntegerField(
        _("used until then"), help_text=_("Of the period, under earlier terms too.")
    )
    replaced_at = models.DateTimeField(_("replaced"))

    class Meta(TermsRecord.Meta):
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


class UsageEvent(OrganizationOwned):
    """One immutable fact that somebody reported; the database keeps (`source`, `event_id`) once."""

    source = models.CharField(_("source"), max_length=200)
    event_id = models.CharField(_("event id"), max_length=200)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    period = models.ForeignKey(UsagePeriod, on_delete=models.PROTECT, related_name="+")
    quantity = models.BigIntegerField(_("quantity"))
    occurred_at = models.DateTimeField(_("occurred"))
    received_at = models.DateTimeField(_("received"))
    is_late = models.BooleanField(_("late"), default=False, help_text=_("Its period was closed already."))
    properties = models.JSONField(_("properties"), default=dict, blank=True)
    body_hash = models.BinaryField(max_length=32, editable=False)
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    user = models.ForeignKey(
        User, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    # A batch of a thousand is written at once; the server sets both itself, from what it read in the tenant's scope.
    row_security = Facts(trusted_parents=("period_id", "api_key_id"))

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(fields=["organization", "source", "event_id"], name="usage_event_once"),
            models.CheckConstraint(name="usage_event_not_negative", condition=models.Q(quantity__gte=0)),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="usage_event_organization"),
            models.Index(fields=["organization", "meter", "occurred_at"], name="usage_event_hours"),
            BrinIndex(fields=["occurred_at"], name="usage_event_lately", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.quantity}"


class EventVoid(OrganizationOwned):
    """The fact that an event was taken back; once, and for good."""

    event = models.OneToOneField(UsageEvent, on_delete=models.PROTECT, related_name="void")
    voided_at = models.DateTimeField(_("voided"))
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    user = models.ForeignKey(
        User, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    row_security = Facts()

    def __str__(self) -> str:
        return f"void of {self.event_id}"


class UsageRollup(OrganizationOwned):
    """Sums of an hour, kept in the transaction that counts; a job proves them against the facts."""

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    hour = models.DateTimeField(_("hour"))
    quantity = models.BigIntegerField(_("quantity"), default=0)
    event_count = models.BigIntegerField(_("events"), default=0)

    class Meta(OrganizationOwned.Meta):
        ordering = ["-hour"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "meter", "hour"], name="usage_rollup_once")
        ]
        indexes = [
            models.Index(fields=["organization", "hour"], name="usage_rollup_hours"),
            BrinIndex(fields=["hour"], name="usage_rollup_lately", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.quantity}"


class RequestRecord(OrganizationOwned):
    """One answered API request, shipped from the spool of the process that answered it.

    Partitioned by month on `id`, whose first bits are the time (see metering.partitions).
    """

    request_id = models.CharField(_("request id"), max_length=64)
    user = models.ForeignKey(
        User, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    period_id = models.UUIDField(null=True, help_text=_("The usage period that it counts in."))
    method = models.CharField(_("method"), max_length=10)
    endpoint = models.CharField(_("endpoint"), max_length=200, help_text=_("The route's template."))
    path = models.CharField(_("path"), max_length=500)
    status = models.PositiveSmallIntegerField(_("status"))
    duration_us = models.BigIntegerField(_("duration, µs"))
    request_bytes = models.BigIntegerField(_("request size"))
    response_bytes = models.BigIntegerField(_("response size"))
    is_counted = models.BooleanField(_("counted"), help_text=_("Used one unit of the request quota."))
    started_at = models.DateTimeField(_("started"))

    row_security = Projection()  # written by who ships the spool

    class Meta(OrganizationOwned.Meta):
        indexes = [
            models.Index(fields=["organization", "-id"], name="request_organization"),
            models.Index(fields=["organization", "started_at"], name="request_started"),
            models.Index(fields=["organization", "request_id"], name="request_by_request_id"),
            models.Index(fields=["organization", "api_key", "-id"], name="request_by_key"),
            BrinIndex(fields=["started_at"], name="request_lately", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} {self.status}"

    @property
    def duration_ms(self) -> float:
        return round(self.duration_us / 1000, 1)


class RequestRollup(OrganizationOwned):
    """Requests of an hour by endpoint, method and status, with a histogram of their durations."""

    hour = models.DateTimeField(_("hour"))
    endpoint = models.CharField(_("endpoint"), max_length=200)
    method = models.CharField(_("method"), max_length=10)
    status = models.PositiveSmallIntegerField(_("status"))
    count = models.BigIntegerField(_("requests"))
    counted = models.BigIntegerField(
        _("counted"), help_text=_("Those that used a unit of the request quota.")
    )
    duration_us = models.BigIntegerField(_("total duration, µs"))
    request_bytes = models.BigIntegerField(_("request size"))
    response_bytes = models.BigIntegerField(_("response size"))
    histogram = ArrayField(models.BigIntegerField(), help_text=_("By metering.histogram.BOUNDS_US."))

    class Meta(OrganizationOwned.Meta):
        ordering = ["-hour"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "hour", "endpoint", "method", "status"], name="request_rollup_once"
            )
        ]
        indexes = [BrinIndex(fields=["hour"], name="request_rollup_lately", autosummarize=True)]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.method} {self.endpoint} {self.status}: {self.count}"


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
