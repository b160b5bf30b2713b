import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import superagent.foundation.identifiers


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_staff_searches_the_trail")]

    operations = [
        migrations.CreateModel(
            name="SecurityEvent",
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
                    "kind",
                    models.CharField(
                        choices=[
                            ("log_in_failed", "Wrong password"),
                            ("code_failed", "Wrong code in the second step"),
                            ("reset_requested", "Password reset requested"),
                            ("reset_refused", "Password reset requested for an unknown address"),
                            ("limit_reached", "Too many attempts"),
                            ("access_refused", "Access denied"),
                        ],
                        max_length=20,
                    ),
                ),
                ("address_digest", models.CharField(blank=True, max_length=32)),
                (
                    "caller",
                    models.CharField(
                        blank=True,
                        help_text="`api_key:` and its id, if an API key made the request.",
                        max_length=50,
                    ),
                ),
                ("network", models.CharField(help_text="An IPv4 address, or a /64 of IPv6.", max_length=50)),
                ("browser", models.CharField(blank=True, max_length=40)),
                ("detail", models.CharField(blank=True, max_length=120)),
                ("count", models.PositiveIntegerField(default=1)),
                ("first_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "hour_key",
                    models.CharField(
                        editable=False,
                        help_text="Identical for repeats within an hour.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="security_events",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
                "indexes": [
                    models.Index(
                        condition=models.Q(("user__isnull", False)),
                        fields=["user", "-id"],
                        name="security_event_of_person",
                    ),
                    models.Index(fields=["last_at"], name="security_event_last_at"),
                ],
            },
        ),
    ]
