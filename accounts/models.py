from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import names, time_zones
from accounts.managers import ApiKeyManager, InvitationManager, OwnedManager, UserManager
from accounts.roles import Role, Scope
from superagent.foundation.records import Record
from superagent.foundation.row_security import Facts, Shared, SystemOnly, Walled


class User(Record, AbstractBaseUser, PermissionsMixin):
    """A person, known by e-mail; may belong to several organizations."""

    row_security = Shared("may belong to several organizations, and is read before one is known")
    row_security_of_relations = SystemOnly(
        "groups and permissions are for staff; the admin runs as the system"
    )

    email = models.EmailField(_("e-mail address"), max_length=254, unique=True)
    full_name = models.CharField(_("full name"), max_length=150, validators=[names.validate])
    default_organization = models.ForeignKey(
        "Organization", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False, help_text=_("May enter the admin."))
    continue_to = models.CharField(
        max_length=500,
        blank=True,
        editable=False,
        help_text=_("The page that the person was on the way to at sign-up, such as a plan's checkout."),
    )
    log_in_stamp = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("Another one ends every session and every API log-in of the person."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default=time_zones.DEFAULT,
        db_default=time_zones.DEFAULT,
        validators=[time_zones.validate],
        help_text=_("In which the days and hours of use are shown. Billing is in UTC."),
    )
    created_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    objects = UserManager()

    class Meta(Record.Meta):
        constraints = [
            models.CheckConstraint(name="user_email_lower_case", condition=models.Q(email=Lower("email"))),
            models.CheckConstraint(name="user_email_not_empty", condition=~models.Q(email="")),
            # What the composite foreign key of allauth's addresses refers to (migration 0011).
            models.UniqueConstraint(name="user_id_and_email", fields=["id", "email"]),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's, over the stamp as well: sessions, API log-ins and changes of address end when it changes."""
        salt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash"
        value = self.password + self.log_in_stamp
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()

    @property
    def zone(self) -> ZoneInfo:
        return time_zones.find(self.time_zone)

    def get_full_name(self) -> str:
        return self.full_name

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0] if self.full_name else self.email


class EmailChange(Record):
    """A request to change a person's e-mail address: confirmed from the new address, agreed to from the old one.

    A link is good while the row says so and the person's log-ins have not been ended since it was asked for.
    """

    LIFETIME = timedelta(days=3)
    UNDO_PERIOD = timedelta(days=7)

    row_security = Shared("belongs to a person, and is read by the link of a mail")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="email_changes")
    old_email = models.EmailField(_("old address"), max_length=254)
    new_email = models.EmailField(_("new address"), max_length=254)
    old_was_confirmed = models.BooleanField(_("old address was confirmed"))
    asked_by_staff = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text=_("Staff vouches for the person, so the old address is told but not asked."),
    )
    log_in_stamp = models.CharField(max_length=64, editable=False)
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("confirmed from the new address"), null=True, blank=True)
    agreed_at = models.DateTimeField(_("agreed to from the old address"), null=True, blank=True)
    made_at = models.DateTimeField(_("made"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)

    class Meta(Record.Meta):
        constraints = [
            models.UniqueConstraint(
                name="email_change_pending_once",
                fields=["user"],
                condition=models.Q(made_at__isnull=True, withdrawn_at__isnull=True),
            ),
            models.CheckConstraint(
                name="email_change_to_another", condition=~models.Q(old_email=models.F("new_email"))
            ),
            models.CheckConstraint(
                name="email_change_made_when_confirmed",
                condition=models.Q(made_at__isnull=True) | models.Q(confirmed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.old_email} → {self.new_email}"

    @property
    def needs_old_address(self) -> bool:
        """Whether the old address must agree: nobody has proven to read one that was never confirmed."""
        return self.old_was_confirmed and self.asked_by_staff_id is None

    @property
    def is_ready(self) -> bool:
        return self.confirmed_at is not None and (self.agreed_at is not None or not self.needs_old_address)

    @property
    def expires_at(self) -> datetime:
        return self.asked_at + self.LIFETIME

    def is_pending(self, now: datetime) -> bool:
        """`now` is real time. Whether the person's log-ins were ended since is for the caller to compare."""
        return self.made_at is None and self.withdrawn_at is None and now < self.expires_at

    def can_be_undone(self, now: datetime) -> bool:
        """`now` is real time."""
        return (
            self.made_at is not None
            and self.undone_at is None
            and self.old_was_confirmed
            and now < self.made_at + self.UNDO_PERIOD
        )


class AccountClosure(Record):
    """A person's wish to close their account: it waits, may be undone, and is then carried out by a job."""

    WAITING_PERIOD = timedelta(days=14)

    row_security = Shared("belongs to a person, and is read by the link of a mail")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="closures")
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    closes_at = models.DateTimeField(_("closes"))
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta(Record.Meta):
        constraints = [
            models.UniqueConstraint(
                name="account_closure_pending_once",
                fields=["user"],
                condition=models.Q(withdrawn_at__isnull=True, closed_at__isnull=True),
            )
        ]
        indexes = [
            models.Index(
                name="account_closure_due",
                fields=["closes_at"],
                condition=models.Q(withdrawn_at__isnull=True, closed_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.closes_at:%Y-%m-%d}"

    @property
    def is_pending(self) -> bool:
        return self.withdrawn_at is None and self.closed_at is None


class Organization(Record):
    """The tenant that pays. Every user has at least one. Stripe's subscriber."""

    row_security = Walled(column="id")

    name = models.CharField(_("name"), max_length=150, validators=[names.validate])
    email = models.EmailField(_("billing e-mail"), max_length=254)
    livemode = models.BooleanField(
        _("live mode"), default=False, help_text=_("Bills real money; fixed when the organization is made.")
    )
    rehearsal_now = models.DateTimeField(
        _("rehearsal time"),
        null=True,
        blank=True,
        help_text=_("Frozen time of the Stripe test clock that the customer is attached to."),
    )
    suspended_at = models.DateTimeField(
        _("suspended"),
        null=True,
        blank=True,
        help_text=_("Its last owner closed their account; no key of it works."),
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Record.Meta):
        constraints = [
            models.CheckConstraint(
                name="organization_rehearses_in_test_mode",
                condition=models.Q(livemode=False) | models.Q(rehearsal_now__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationOwned(Record):
    """Base of every row that one organization owns and only it may see."""

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
    """A place in an organization, offered to an e-mail address. Its link is signed, not stored."""

    email = models.EmailField(_("e-mail address"), max_length=254)
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
        """`accepted`, `withdrawn`, `expired` or `open`, at the real time."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "withdrawn"
        return "open" if self.is_open(timezone.now()) else "expired"

    def is_open(self, now: datetime) -> bool:
        """`now` is real time."""
        return self.accepted_at is None and self.revoked_at is None and now < self.expires_at

    def withdraw(self, now: datetime) -> None:
        self.revoked_at = now
        self.save(update_fields=["revoked_at"])


class ApiKey(OrganizationOwned):
    """A credential of an organization. Only the SHA-256 of the key is stored: it has 256 random bits.

    `created_by` is who made it, or whose API key made it: the person who may have kept a copy.
    """

    name = models.CharField(_("name"), max_length=100, validators=[names.validate])
    prefix = models.CharField(max_length=20, help_text=_("The start of the key, to recognize it by."))
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
        """`revoked`, `expired` or `active`, at the real time."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_usable(timezone.now()) else "expired"

    def is_usable(self, now: datetime) -> bool:
        """`now` is real time: a credential does not rehearse."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TokenFamily(Record):
    """One log-in through the API: every refresh token that descends from it. Only the newest one is good.

    A family ends by log-out, by the reuse of an old refresh token, by a changed password or a closed account.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    refresh_jti = models.CharField(max_length=32, help_text=_("Id of the one refresh token that is good."))
    password_stamp = models.CharField(max_length=64, help_text=_("Changes with the user's password."))
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    row_security = Shared("a log-in belongs to a person and is read before an organization is known")

    class Meta(Record.Meta):
        verbose_name = _("API log-in")
        verbose_name_plural = _("API log-ins")
        indexes = [models.Index(fields=["refreshed_at"], name="token_family_refreshed")]

    def __str__(self) -> str:
        return f"log-in of {self.created_at:%Y-%m-%d %H:%M}"


class SecurityEvent(Record):
    """What was refused, for the person whom it concerns and for staff: repeats of an hour are one row with a count.

    Where nobody is known, `address_digest` tells whether two events are about one typed e-mail address, without
    telling which. Kept for `security_events.KEPT_FOR`.
    """

    class Kind(models.TextChoices):
        LOG_IN_FAILED = "log_in_failed", _("Wrong password")
        CODE_FAILED = "code_failed", _("Wrong code in the second step")
        RESET_REQUESTED = "reset_requested", _("New password asked for")
        RESET_REFUSED = "reset_refused", _("New password asked for an unknown address")
        LIMIT_REACHED = "limit_reached", _("Too many attempts")
        ACCESS_REFUSED = "access_refused", _("Not allowed")

    kind = models.CharField(max_length=20, choices=Kind.choices)
    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.CASCADE, related_name="security_events"
    )
    address_digest = models.CharField(max_length=32, blank=True)
    caller = models.CharField(
        max_length=50, blank=True, help_text=_("Who acted, where it was an API key: `api_key:` and its id.")
    )
    network = models.CharField(max_length=50, help_text=_("An IPv4 address, or a /64 of IPv6."))
    browser = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=120, blank=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    hour_key = models.CharField(
        max_length=64, unique=True, editable=False, help_text=_("The same for repeats within an hour.")
    )

    row_security = SystemOnly("what was refused concerns a person, or nobody who is known")

    class Meta(Record.Meta):
        indexes = [
            models.Index(
                fields=["user", "-id"],
                name="security_event_of_person",
                condition=models.Q(user__isnull=False),
            ),
            models.Index(fields=["last_at"], name="security_event_last_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.count})"


class AuditEntry(Record):
    """Who did what to which thing, when and from where. The database refuses to change or delete a row."""

    organization = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    actor_label = models.CharField(max_length=254, help_text=_("The actor as it was called then."))
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_label = models.CharField(max_length=254, blank=True)
    detail = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(default=timezone.now)

    objects = OwnedManager()
    row_security = Facts()

    class Meta(Record.Meta):
        verbose_name_plural = _("audit entries")
        indexes = [
            models.Index(fields=["organization", "-id"], name="audit_organization"),
            models.Index(fields=["action", "-id"], name="audit_action"),
            models.Index(fields=["target_id"], condition=~models.Q(target_id=""), name="audit_target"),
            models.Index(
                fields=["target_id", "-id"],
                name="audit_of_person",
                condition=models.Q(organization__isnull=True, target_type="user"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action}"
