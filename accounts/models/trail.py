"""The audit trail and security events."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.managers import OwnedManager
from accounts.models.organizations import Organization
from accounts.models.people import User
from superagent.foundation.records import Record
from superagent.foundation.row_security import Facts, SystemOnly


class SecurityEvent(Record):
    """A refused attempt, shown to the user concerned and to staff. Repeats within an hour are one row with a count.

    Without a user, `address_digest` shows whether two events are about the same typed email address without revealing
    it. Kept for `security_events.KEPT_FOR`.
    """

    class Kind(models.TextChoices):
        LOG_IN_FAILED = "log_in_failed", _("Wrong password")
        CODE_FAILED = "code_failed", _("Wrong code in the second step")
        PASSKEY_FAILED = "passkey_failed", _("Wrong passkey")
        RESET_REQUESTED = "reset_requested", _("Password reset requested")
        RESET_REFUSED = "reset_refused", _("Password reset requested for an unknown address")
        LIMIT_REACHED = "limit_reached", _("Too many attempts")
        ACCESS_REFUSED = "access_refused", _("Access denied")

    kind = models.CharField(max_length=20, choices=Kind.choices)
    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.CASCADE, related_name="security_events"
    )
    address_digest = models.CharField(max_length=32, blank=True)
    caller = models.CharField(
        max_length=50, blank=True, help_text=_("`api_key:` and its id, if an API key made the request.")
    )
    network = models.CharField(max_length=50, help_text=_("An IPv4 address, or a /64 of IPv6."))
    browser = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=120, blank=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    hour_key = models.CharField(
        max_length=64, unique=True, editable=False, help_text=_("Identical for repeats within an hour.")
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
    """Who did what to which object, when and from where. PostgreSQL refuses to change or delete a row."""

    organization = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    actor_label = models.CharField(max_length=254, help_text=_("The actor's name at that time."))
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
