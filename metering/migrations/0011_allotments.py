import django.db.models.deletion
from django.db import migrations, models

import superagent.foundation.identifiers


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_account_closures"),
        ("metering", "0010_partitions_wait_for_nobody"),
    ]

    operations = [
        migrations.CreateModel(
            name="Allotment",
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
                    "seed",
                    models.CharField(
                        help_text="Name of the counter's turn, in each request's line.",
                        max_length=40,
                        verbose_name="seed",
                    ),
                ),
                ("granted", models.BigIntegerField(default=0, verbose_name="granted")),
                (
                    "settled",
                    models.BigIntegerField(
                        default=0,
                        help_text="Units of it that are counted by now, or were not used.",
                        verbose_name="settled",
                    ),
                ),
                (
                    "valid_until",
                    models.DateTimeField(
                        help_text="Nothing is given out afterwards.", verbose_name="valid until"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "quota",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="allotments",
                        to="metering.quota",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
                "indexes": [models.Index(fields=["valid_until"], name="allotment_over")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "seed"), name="allotment_seed_once"),
                    models.CheckConstraint(
                        condition=models.Q(("settled__gte", 0), ("settled__lte", models.F("granted"))),
                        name="allotment_not_overdrawn",
                    ),
                ],
            },
        ),
    ]
