"""Organizations, memberships, invitations and API keys."""

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import names
from accounts.managers import ApiKeyManager, InvitationManager, OwnedManager
from accounts.models.people import User
from accounts.roles import Role, Scope
from superagent.foundation.records import Record
from superagent.foundation.row_security import Walled


class Organization(Record):
    """The tenant that pays; a customer at Stripe, the subscriber in dj-stripe. Every user has at least one."""

    row_security = Walled(column="id")

    name = models.CharField(_("name"), max_length=150, validators=[names.validate])
    email = models.EmailField(_("billing email"), max_length=254)
    livemode = models.BooleanField(
        _("live mode"),
        default=False,
        help_text=_("Bills real money. Fixed when the organization is created."),
    )
    test_clock_time = models.DateTimeField(
        _("test clock time"),
        null=True,
        blank=True,
        help_text=_("Frozen time of the Stripe test clock that the customer is attached to."),
    )
    suspended_at = models.DateTimeField(
        _("suspended"),
        null=True,
        blank=True,
        help_text=_("Its last owner closed their account, and its API keys were revoked."),
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Record.Meta):
        constraints = [
            models.CheckConstraint(
                name="organization_test_clock_in_test_mode",
                condition=models.Q(livemode=False) | models.Q(test_clock_time__isnull=True),
            )
        ]
        indexes = [
            models.Index(
                fields=["test_clock_time"],
                condition=models.Q(test_clock_time__isnull=False),
                name="organization_test_clock",
            )
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationOwned(Record):
    """Base of all models whose rows belong to one organization and are visible to it alone."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")

    objects = OwnedManager()

    class Meta(Record.Meta):
        abstract = True


class Membership(OrganizationOwned):
    """A user's role in an organization."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(OrganizationOwned.Meta):
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.get_role_display()}"


class Invitation(OrganizationOwned):
    """An invitation of an email address to join an organization. Its link is signed, not stored."""

    email = models.EmailField(_("email address"), max_length=254)
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)
    invited_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    accepted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    objects: ClassVar[InvitationManager] = InvitationManager()

    class Meta(OrganizationOwned.Meta):
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=models.Q(accepted_at__isnull=True, revoked_at__isnull=True),
                name="invitation_open_once",
            )
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="invitation_organization")]

    def __str__(self) -> str:
        return self.email

    @property
    def status(self) -> str:
        """Returns `accepted`, `withdrawn`, `expired` or `open`, by real time."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "withdrawn"
        return "open" if self.is_open(timezone.now()) else "expired"

    def is_open(self, now: datetime) -> bool:
        """Returns whether it can be accepted at `now`, which is real time."""
        return self.accepted_at is None and self.revoked_at is None and now < self.expires_at

    def withdraw(self, now: datetime) -> None:
        self.revoked_at = now
        self.save(update_fields=["revoked_at"])


class ApiKey(OrganizationOwned):
    """A credential of an organization. Only its SHA-256 is stored, which is enough for 256 random bits.

    `created_by` is the user who created it, directly or with another API key, and who may have kept a copy.
    """

    name = models.CharField(_("name"), max_length=100, validators=[names.validate])
    prefix = models.CharField(max_length=20, help_text=_("The start of the key, to recognize it."))
    last_four = models.CharField(max_length=4)
    key_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope.choices), verbose_name=_("scopes"))
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    rotated_from = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="rotated_to"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta(OrganizationOwned.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = [models.Index(fields=["organization", "-id"], name="api_key_organization")]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        return f"{self.prefix}…{self.last_four}"

    @property
    def status(self) -> str:
        """Returns `revoked`, `expired` or `active`, by real time."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_usable(timezone.now()) else "expired"

    def is_usable(self, now: datetime) -> bool:
        """Returns whether it works at `now`. Real time: test clocks do not apply to credentials."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
