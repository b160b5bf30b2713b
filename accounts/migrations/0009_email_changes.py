import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import superagent.foundation.identifiers


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_names_are_one_line"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="EmailChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=superagent.foundation.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "asked_by_staff",
                    models.ForeignKey(
                        blank=True,
                        help_text="Staff identified the person, so the old address is notified but need not approve.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="email_changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("old_email", models.EmailField(max_length=254, verbose_name="old address")),
                ("new_email", models.EmailField(max_length=254, verbose_name="new address")),
                ("old_was_confirmed", models.BooleanField(verbose_name="old address was confirmed")),
                ("log_in_stamp", models.CharField(editable=False, max_length=64)),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="asked")),
                (
                    "confirmed_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="confirmed by the new address"),
                ),
                (
                    "agreed_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="approved by the old address"),
                ),
                ("made_at", models.DateTimeField(blank=True, null=True, verbose_name="made")),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True, verbose_name="withdrawn")),
                ("undone_at", models.DateTimeField(blank=True, null=True, verbose_name="undone")),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="user",
            name="log_in_stamp",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="A new value ends every session and API login of the user.",
                max_length=32,
            ),
        ),
        migrations.AddConstraint(
            model_name="emailchange",
            constraint=models.UniqueConstraint(
                condition=models.Q(("made_at__isnull", True), ("withdrawn_at__isnull", True)),
                fields=("user",),
                name="email_change_pending_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="emailchange",
            constraint=models.CheckConstraint(
                condition=models.Q(("old_email", models.F("new_email")), _negated=True),
                name="email_change_to_another",
            ),
        ),
        migrations.AddConstraint(
            model_name="emailchange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("made_at__isnull", True), ("confirmed_at__isnull", False), _connector="OR"
                ),
                name="email_change_made_when_confirmed",
            ),
        ),
    ]
