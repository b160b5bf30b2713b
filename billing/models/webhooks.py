from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from superagent.foundation.records import Record
from superagent.foundation.row_security import SystemOnly

_SYSTEM = SystemOnly("Stripe reports for all organizations; the inbox is processed by the system")


class WebhookEndpoint(Record):
    """An address that Stripe sends events to: `stripe/webhook/<id>/`. Stripe shows its secret once."""

    row_security = _SYSTEM

    stripe_id = models.CharField(_("Stripe endpoint"), max_length=255, unique=True, null=True, blank=True)
    url = models.URLField(max_length=500, unique=True)
    secret = models.CharField(max_length=255, editable=False)
    api_version = models.CharField(_("API version"), max_length=50)
    livemode = models.BooleanField(_("live mode"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.url


class WebhookEvent(Record):
    """The inbox: one row for each Stripe event, however often it is delivered. The table is the queue."""

    row_security = _SYSTEM

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        DONE = "done", _("Done")
        IGNORED = "ignored", _("Ignored")
        DEAD = "dead", _("Dead")

    stripe_id = models.CharField(_("Stripe event"), max_length=255, unique=True)
    type = models.CharField(_("type"), max_length=100)
    partition_key = models.CharField(
        _("partition key"),
        max_length=255,
        help_text=_("The customer. Events of one partition are handled in order."),
    )
    object_id = models.CharField(_("object"), max_length=255, blank=True)
    livemode = models.BooleanField(_("live mode"))
    api_version = models.CharField(_("API version"), max_length=50)
    payload = models.JSONField(_("payload"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    last_error = models.TextField(_("last error"), blank=True)
    created_at = models.DateTimeField(_("created at Stripe"))
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta(Record.Meta):
        indexes = [
            models.Index(
                fields=["partition_key", "created_at"], condition=Q(state="pending"), name="webhook_partition"
            ),
            models.Index(fields=["due_at"], condition=Q(state="pending"), name="webhook_due"),
            models.Index(fields=["state", "-id"], name="webhook_state"),
            models.Index(fields=["object_id"], condition=~Q(object_id=""), name="webhook_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"


class WebhookLease(models.Model):
    """The worker that processes a partition at the moment; expires by itself when the worker is killed."""

    row_security = _SYSTEM

    partition_key = models.CharField(primary_key=True, max_length=255)
    leased_until = models.DateTimeField()
    leased_by = models.UUIDField(
        null=True, help_text=_("The run of a worker that holds the lease; only it may renew or release it.")
    )

    def __str__(self) -> str:
        return self.partition_key


class ObjectFence(models.Model):
    """The fencing token of the last fetch of an object that was applied; older fetches are stale."""

    row_security = _SYSTEM

    object_id = models.CharField(primary_key=True, max_length=255)
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.object_id} {self.number}"
