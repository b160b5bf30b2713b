"""The facts of use, events and requests, never changed once written; and the hourly sums of them.

The indexes `…_lately` are for reconciliation, which reads some days of all organizations at once.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Organization, OrganizationOwned, User
from metering.models.usage import Meter, UsagePeriod
from superagent.foundation.row_security import Facts, Projection, Walled


class UsageEvent(OrganizationOwned):
    """One immutable fact that somebody reported; the database keeps (`source`, `event_id`) once."""

    # The indexes below begin with it: one of its own would only be written.
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    source = models.CharField(_("source"), max_length=200)
    event_id = models.CharField(_("event id"), max_length=200)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, db_index=False, related_name="+")
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
            models.Index(fields=["organization", "occurred_at"], name="usage_event_times"),
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
    """Sums of an hour, of meters that add up; kept in the transaction that counts, and reconciled with the facts."""

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


class HourlyLevel(OrganizationOwned):
    """The event that decides an hour of a meter that does not add up: the highest or the latest, or one for each
    distinct value. Written under the lock of the period's quota; rating.levels reads levels from it."""

    # Batches have up to a thousand values: the server sets the period itself, from what it read in the tenant's scope.
    row_security = Walled(trusted_parents=("period_id",))

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, db_index=False, related_name="+")
    period = models.ForeignKey(UsagePeriod, on_delete=models.CASCADE, db_index=False, related_name="+")
    hour = models.DateTimeField(_("hour"))
    value = models.BinaryField(
        max_length=16, help_text=_("Of unique: the first 16 bytes of the value's SHA-256; else empty.")
    )
    quantity = models.BigIntegerField(_("quantity"))
    moment = models.DateTimeField(_("occurred"))
    event_id = models.UUIDField(_("event"))

    class Meta(OrganizationOwned.Meta):
        ordering = ["-hour"]
        constraints = [
            models.UniqueConstraint(fields=["period", "meter", "value", "hour"], name="hourly_level_once")
        ]
        indexes = [
            models.Index(fields=["organization", "hour"], name="hourly_level_hours"),
            BrinIndex(fields=["hour"], name="hourly_level_lately", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.quantity}"


class RequestRecord(OrganizationOwned):
    """One answered API request, shipped from the spool of the process that answered it.

    Partitioned by month on `id`, whose first bits are the time (see metering.usage.partitions).
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
    histogram = ArrayField(models.BigIntegerField(), help_text=_("By metering.usage.histogram.BOUNDS_US."))

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
