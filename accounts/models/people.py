"""Users, changes of their address, closing of accounts, and API logins."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import names, time_zones
from accounts.managers import UserManager
from superagent.foundation.records import Record
from superagent.foundation.row_security import Shared, SystemOnly


class User(Record, AbstractBaseUser, PermissionsMixin):
    """A person who logs in by email; may belong to several organizations."""

    row_security = Shared("may belong to several organizations, and is read before one is known")
    row_security_of_relations = SystemOnly(
        "groups and permissions are for staff; the admin runs as the system"
    )

    email = models.EmailField(_("email address"), max_length=254, unique=True)
    full_name = models.CharField(_("full name"), max_length=150, validators=[names.validate])
    default_organization = models.ForeignKey(
        "Organization", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False, help_text=_("Can log in to the admin."))
    continue_to = models.CharField(
        max_length=500,
        blank=True,
        editable=False,
        help_text=_("The page to open after sign-up, such as a plan's checkout."),
    )
    log_in_stamp = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("A new value ends every session and API login of the user."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default=time_zones.DEFAULT,
        db_default=time_zones.DEFAULT,
        validators=[time_zones.validate],
        help_text=_("For days and hours on usage pages. Billing is in UTC."),
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
        """Django's, with `log_in_stamp` added: a new one ends sessions, API logins and pending changes of address."""
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
    """A request to change a user's email address, confirmed by the new mailbox and approved by the old one.

    Its links work while it is pending and the user's logins have not been ended since.
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
        help_text=_("Staff identified the person, so the old address is notified but need not approve."),
    )
    log_in_stamp = models.CharField(max_length=64, editable=False)
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("confirmed by the new address"), null=True, blank=True)
    agreed_at = models.DateTimeField(_("approved by the old address"), null=True, blank=True)
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
        """Returns whether the old address must approve. An address that was never confirmed may be a typo."""
        return self.old_was_confirmed and self.asked_by_staff_id is None

    @property
    def is_ready(self) -> bool:
        return self.confirmed_at is not None and (self.agreed_at is not None or not self.needs_old_address)

    @property
    def expires_at(self) -> datetime:
        return self.asked_at + self.LIFETIME

    def is_pending(self, now: datetime) -> bool:
        """Returns whether it can still be completed at `now` (real time), unless the user's logins ended since.

        The caller compares `log_in_stamp`.
        """
        return self.made_at is None and self.withdrawn_at is None and now < self.expires_at

    def can_be_undone(self, now: datetime) -> bool:
        """Returns whether the old address can still undo it at `now`, which is real time."""
        return (
            self.made_at is not None
            and self.undone_at is None
            and self.old_was_confirmed
            and now < self.made_at + self.UNDO_PERIOD
        )


class AccountClosure(Record):
    """A request to close an account: it can be undone for WAITING_PERIOD, and is then carried out by a job."""

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


class TokenFamily(Record):
    """One API login: all refresh tokens that descend from it, of which only the newest is valid.

    A family ends with a logout, the reuse of an old refresh token, a new password, or the closing of the account.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    refresh_jti = models.CharField(max_length=32, help_text=_("Id of the only valid refresh token."))
    password_stamp = models.CharField(max_length=64, help_text=_("Changes with the user's password."))
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    row_security = Shared("a login belongs to a person and is read before an organization is known")

    class Meta(Record.Meta):
        verbose_name = _("API login")
        verbose_name_plural = _("API logins")
        indexes = [models.Index(fields=["refreshed_at"], name="token_family_refreshed")]

    def __str__(self) -> str:
        return f"login of {self.created_at:%Y-%m-%d %H:%M}"
