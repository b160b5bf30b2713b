"""Where the shipping of requests stands, and what could not be shipped."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from superagent.foundation.records import Record
from superagent.foundation.row_security import SystemOnly


class SpoolCheckpoint(Record):
    """How far a segment of some host's spool is in the database; moved in the transaction that writes its rows."""

    segment = models.CharField(_("segment"), max_length=200, unique=True)
    offset = models.BigIntegerField(_("bytes shipped"), default=0)
    updated_at = models.DateTimeField(_("last looked at"), auto_now=True)
    read_at = models.DateTimeField(
        _("complete"),
        null=True,
        blank=True,
        help_text=_("Everything that was written until then is shipped."),
    )
    failed_at = models.DateTimeField(_("failed"), null=True, blank=True)
    failure = models.CharField(_("failure"), max_length=500, blank=True, db_default="")
    finished_at = models.DateTimeField(
        _("finished"), null=True, blank=True, help_text=_("Its writer has ended, and all of it is shipped.")
    )

    row_security = SystemOnly("segments hold the requests of all organizations")

    class Meta(Record.Meta):
        verbose_name = _("spool segment")
        verbose_name_plural = _("spool segments")
        indexes = [
            models.Index(
                fields=["updated_at"],
                condition=models.Q(finished_at__isnull=True),
                name="spool_segment_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.segment} at {self.offset}"


class QuarantinedLine(Record):
    """What a spool segment held and the database could not take: kept until a person has looked at it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SHIPPED = "shipped", _("Shipped")
        DISMISSED = "dismissed", _("Dismissed")

    segment = models.CharField(_("segment"), max_length=200)
    offset = models.BigIntegerField(_("offset"))
    length = models.BigIntegerField(
        _("bytes"), help_text=_("Of more than 64 KiB only the beginning is kept.")
    )
    content = models.BinaryField(_("content"), editable=False)
    reason = models.CharField(_("reason"), max_length=500)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    quarantined_at = models.DateTimeField(_("set aside"), default=timezone.now)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)

    row_security = SystemOnly("lines of all organizations, and of unknown ones")

    class Meta(Record.Meta):
        verbose_name = _("quarantined line")
        verbose_name_plural = _("quarantined lines")
        constraints = [models.UniqueConstraint(fields=["segment", "offset"], name="quarantined_line_once")]
        indexes = [
            models.Index(
                fields=["quarantined_at"],
                condition=models.Q(state="waiting"),
                name="quarantined_line_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"{self.segment} at {self.offset}: {self.reason}"
