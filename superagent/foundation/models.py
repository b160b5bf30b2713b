from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from superagent.foundation.records import Record


class OutboxMessage(Record):
    """Work for after a transaction, written in it. Its `id` is the idempotency key for the outside system.

    `organization_id` is a plain column: this layer knows no organizations, and row-level security needs only the id.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        DONE = "done", _("Done")
        DEAD = "dead", _("Dead")
        DISMISSED = "dismissed", _("Dismissed")
        FORGOTTEN = "forgotten", _("Done; only its key is kept")

    organization_id = models.UUIDField(null=True, blank=True)
    topic = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    dedupe_key = models.CharField(max_length=255, unique=True, null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(Record.Meta):
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="pending"), name="outbox_due"),
            # failing messages, among millions that a kill switch holds back
            models.Index(
                fields=["first_sent_at"],
                condition=models.Q(state="pending", first_sent_at__isnull=False),
                name="outbox_tried",
            ),
            models.Index(fields=["finished_at"], condition=models.Q(state="done"), name="outbox_done"),
            models.Index(fields=["organization_id", "-id"], name="outbox_organization"),
            # dead letters, among millions that are done
            models.Index(
                fields=["state", "-id"],
                condition=models.Q(state__in=["dead", "dismissed"]),
                name="outbox_given_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} ({self.state})"


class IdempotencyRecord(Record):
    """The response to a keyed request, stored in the transaction of its effect.

    `organization_id` is a user's id for what belongs to a user, such as creating an organization.
    """

    organization_id = models.UUIDField()
    caller = models.CharField(max_length=50, db_default="", help_text="The member or API key that asked.")
    key = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=100)
    body_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    sealed = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta(Record.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "endpoint", "key"], name="idempotency_key_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"
