from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import OrganizationOwned
from licensing import keys
from licensing.managers import DUE_AT, ActivationManager, LicenseManager
from superagent.foundation.records import Record
from superagent.foundation.row_security import Published

MAX_ACTIVATIONS = 1000  # of any license, because each activation counts the others
UNSTATED_ACTIVATIONS = 100  # if a policy sets no number

_slug = RegexValidator(r"^[a-z][a-z0-9_]{1,49}$", _("Use lower-case letters, digits and underscores."))

_CATALOG = Published("what the products include is on the price list; staff write it as the system")


class Policy(Record):
    """What licenses of one product include.

    Limits apply to licenses issued afterwards; grace periods apply to issued ones, too.
    """

    row_security = _CATALOG

    product_slug = models.SlugField(_("product"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=100)
    key_prefix = models.CharField(
        _("key prefix"),
        max_length=4,
        default="NP",
        validators=[
            RegexValidator(rf"^{keys.PREFIX.pattern}$", _("Two to four of 0-9 A-Z without I, L, O, U."))
        ],
    )
    renewal_grace_days = models.PositiveSmallIntegerField(
        _("renewal grace in days"),
        default=3,
        help_text=_("A license keeps working this long after the paid period, in case a renewal is late."),
    )
    payment_grace_days = models.PositiveSmallIntegerField(
        _("payment grace in days"),
        default=7,
        help_text=_("From the first failed payment until the license is suspended."),
    )
    max_activations = models.PositiveIntegerField(
        _("activations"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_ACTIVATIONS)],
        help_text=_("Maximum number of activated servers, up to 1,000. Empty: 100."),
    )
    requires_activation = models.BooleanField(
        _("requires activation"),
        default=False,
        db_default=False,
        help_text=_("Validation fails on servers that are not activated."),
    )
    heartbeat_hours = models.PositiveSmallIntegerField(
        _("heartbeat in hours"),
        null=True,
        blank=True,
        help_text=_(
            "A server without a heartbeat for longer loses its activation. Empty: no heartbeat required."
        ),
    )

    class Meta(Record.Meta):
        verbose_name_plural = _("policies")
        constraints = [
            models.CheckConstraint(
                name="policy_heartbeat_needs_activations",
                condition=Q(heartbeat_hours__isnull=True) | Q(max_activations__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name


class PolicyFeature(Record):
    """A countable feature that a policy includes, with its limit."""

    row_security = _CATALOG

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="features")
    slug = models.CharField(
        _("feature"), max_length=50, validators=[_slug], help_text=_("Such as databases.")
    )
    action = models.CharField(
        _("action"), max_length=50, validators=[_slug], help_text=_("Such as create_database.")
    )
    name = models.CharField(_("name"), max_length=50)
    limit = models.PositiveIntegerField(_("limit"), null=True, blank=True, help_text=_("Empty: unlimited."))

    class Meta(Record.Meta):
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "slug"], name="policy_feature_once"),
            models.UniqueConstraint(fields=["policy", "action"], name="policy_action_once"),
        ]

    def __str__(self) -> str:
        return self.name


class License(OrganizationOwned):
    """An organization's right to run a product, proved by a key, which is stored hashed and encrypted."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        EXPIRED = "expired", _("Expired")
        REVOKED = "revoked", _("Revoked")

    class SuspensionReason(models.TextChoices):
        PAYMENT = "payment", _("Payment overdue")
        MANUAL = "manual", _("By our staff")

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="licenses")
    order_item = models.OneToOneField(
        "billing.OrderItem",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="license",
        help_text=_("The order item that paid for it. Its subscription renews the license."),
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    suspension_reason = models.CharField(
        _("suspension reason"), max_length=10, choices=SuspensionReason.choices, blank=True
    )
    note = models.CharField(
        _("reason"), max_length=300, blank=True, help_text=_("Why it was suspended, reinstated or revoked.")
    )
    key_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    key_encrypted = models.BinaryField(editable=False)
    key_prefix = models.CharField(max_length=4, editable=False)
    key_tail = models.CharField(
        max_length=5, editable=False, help_text=_("The last group of the key, to recognize it.")
    )
    key_made_at = models.DateTimeField(editable=False)
    previous_key_hash = models.BinaryField(max_length=32, null=True, unique=True, editable=False)
    previous_key_works_until = models.DateTimeField(
        null=True, editable=False, help_text=_("Until then, the replaced key works, too.")
    )
    issued_at = models.DateTimeField(_("issued"))
    renews_at = models.DateTimeField(_("renews"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, help_text=_("Empty: never."))
    suspends_at = models.DateTimeField(
        _("suspends"),
        null=True,
        blank=True,
        help_text=_("A payment failed. The license is suspended at this time unless it is paid."),
    )
    max_activations = models.PositiveIntegerField(_("activations"), null=True, blank=True)
    requires_activation = models.BooleanField(_("requires activation"), default=False, db_default=False)
    heartbeat_hours = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = LicenseManager()  # type: ignore[misc]  # a manager of its own, which the base declares otherwise

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.CheckConstraint(
                name="license_suspended_for_a_reason",
                condition=Q(status="suspended", suspension_reason__in=["payment", "manual"])
                | (~Q(status="suspended") & Q(suspension_reason="")),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="license_organization"),
            models.Index(DUE_AT, name="license_due"),
            models.Index(fields=["created_at"], condition=Q(suspension_reason="manual"), name="license_held"),
        ]

    def __str__(self) -> str:
        return self.masked_key

    @property
    def masked_key(self) -> str:
        return f"{self.key_prefix}-…-{self.key_tail}"

    @property
    def activation_limit(self) -> int:
        return UNSTATED_ACTIVATIONS if self.max_activations is None else self.max_activations

    @property
    def is_held_by_staff(self) -> bool:
        """Returns whether staff suspended it, which neither dates nor payments lift."""
        return self.suspension_reason == self.SuspensionReason.MANUAL

    @property
    def works_until(self) -> datetime | None:
        """Returns when it stops working by its present dates; None is never."""
        return min((date for date in (self.expires_at, self.suspends_at) if date is not None), default=None)

    @property
    def is_ending(self) -> bool:
        """Returns whether it will end without renewal."""
        return self.expires_at is not None and (self.renews_at is None or self.expires_at <= self.renews_at)

    def status_at(self, now: datetime) -> Status:
        """Returns the status at `now` by the dates, even if the job has not stored it yet.

        `LicenseQuerySet.with_status` is the same rule in SQL.
        """
        stored = self.Status(self.status)
        if stored in (self.Status.REVOKED, self.Status.PENDING, self.Status.EXPIRED):
            return stored
        if self.is_held_by_staff:
            return self.Status.SUSPENDED
        if self.expires_at is not None and now >= self.expires_at:
            return self.Status.EXPIRED
        if self.suspends_at is not None and now >= self.suspends_at:
            return self.Status.SUSPENDED
        return stored

    def is_alive(self, now: datetime) -> bool:
        return self.status_at(now) == self.Status.ACTIVE


class LicenseFeature(OrganizationOwned):
    """A feature of a license with its limit and usage. One conditional UPDATE of this row enforces the limit."""

    license = models.ForeignKey(License, on_delete=models.CASCADE, related_name="features")
    slug = models.CharField(_("feature"), max_length=50)
    action = models.CharField(
        _("action"), max_length=50, null=True, help_text=_("Empty: the tier no longer includes it.")
    )
    name = models.CharField(_("name"), max_length=50)
    limit = models.PositiveIntegerField(_("limit"), null=True, blank=True, help_text=_("Empty: unlimited."))
    used = models.PositiveIntegerField(_("used"), default=0)

    class Meta(OrganizationOwned.Meta):
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["license", "slug"], name="license_feature_once"),
            models.UniqueConstraint(fields=["license", "action"], name="license_action_once"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def remaining(self) -> int | None:
        """Returns what is left: None if unlimited, 0 if more is used than a smaller tier includes."""
        return None if self.limit is None else max(self.limit - self.used, 0)

    @property
    def warning_threshold(self) -> int:
        """Returns the usage from which the meter on pages is amber."""
        return int((self.limit or 0) * 0.8)

    @property
    def maximum_threshold(self) -> int:
        """Returns the usage above which the meter on pages is red."""
        return max((self.limit or 0) - 1, 0)


class FeatureUsage(OrganizationOwned):
    """An accepted usage report, with the idempotency key of the panel."""

    license = models.ForeignKey(License, on_delete=models.CASCADE, related_name="usage")
    idempotency_key = models.CharField(max_length=255)
    body_hash = models.BinaryField(max_length=32)
    feature_slug = models.CharField(max_length=50)
    delta = models.IntegerField(null=True, help_text=_("Empty: the panel reported its total."))
    used = models.PositiveIntegerField(default=0, help_text=_("Total after the report."))
    limit = models.PositiveIntegerField(null=True, help_text=_("Limit at the time of the report."))
    reported_at = models.DateTimeField()

    class Meta(OrganizationOwned.Meta):
        verbose_name_plural = _("feature usage")
        constraints = [
            models.UniqueConstraint(fields=["license", "idempotency_key"], name="feature_usage_once")
        ]
        indexes = [models.Index(fields=["license", "-id"], name="feature_usage_license")]

    def __str__(self) -> str:
        return f"{self.feature_slug} {self.used}"


class Activation(OrganizationOwned):
    """A server that uses a license, identified by the fingerprint that it computes."""

    license = models.ForeignKey(License, on_delete=models.CASCADE, related_name="activations")
    fingerprint = models.CharField(_("fingerprint"), max_length=128)
    label = models.CharField(_("label"), max_length=100, blank=True)
    activated_at = models.DateTimeField(_("activated"))
    last_heartbeat_at = models.DateTimeField(_("last heartbeat"))

    objects = ActivationManager()  # type: ignore[misc]  # as above

    class Meta(OrganizationOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["license", "fingerprint"], name="activation_once")]

    def __str__(self) -> str:
        return self.label or self.fingerprint
