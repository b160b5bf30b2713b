from decimal import Decimal

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import superagent.foundation.identifiers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0003_api_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Meter",
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
                    "slug",
                    models.SlugField(
                        unique=True,
                        validators=[django.core.validators.RegexValidator("^[a-z][a-z0-9_]*$")],
                        verbose_name="slug",
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "unit",
                    models.CharField(
                        help_text="In the plural: requests, tokens.", max_length=40, verbose_name="unit"
                    ),
                ),
                (
                    "event_name",
                    models.CharField(
                        help_text="`type` of the CloudEvents that count here.",
                        max_length=100,
                        unique=True,
                        verbose_name="event name",
                    ),
                ),
                (
                    "value_property",
                    models.CharField(
                        blank=True,
                        help_text="Name in a CloudEvent's `data` that holds the quantity; empty: every event counts one.",
                        max_length=100,
                        verbose_name="value property",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True, help_text="An inactive meter takes no events.", verbose_name="active"
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["slug"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="SpoolCheckpoint",
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
                ("segment", models.CharField(max_length=200, unique=True)),
                ("offset", models.BigIntegerField(default=0)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="UsageEvent",
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
                ("source", models.CharField(max_length=200, verbose_name="source")),
                ("event_id", models.CharField(max_length=200, verbose_name="event id")),
                ("quantity", models.BigIntegerField(verbose_name="quantity")),
                ("occurred_at", models.DateTimeField(verbose_name="occurred")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                (
                    "is_late",
                    models.BooleanField(
                        default=False, help_text="Its period was closed already.", verbose_name="late"
                    ),
                ),
                ("properties", models.JSONField(blank=True, default=dict, verbose_name="properties")),
                ("body_hash", models.BinaryField(max_length=32)),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.apikey",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
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
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="EventVoid",
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
                ("voided_at", models.DateTimeField(verbose_name="voided")),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.apikey",
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
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "event",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="void",
                        to="metering.usageevent",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="UsagePeriod",
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
                ("start", models.DateTimeField(verbose_name="start")),
                ("end", models.DateTimeField(verbose_name="end")),
                (
                    "anchor",
                    models.DateTimeField(
                        help_text="Months are counted from here, so that 31 January is followed by 28 February and 31 March.",
                        verbose_name="anchor",
                    ),
                ),
                (
                    "closed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="By the organization's clock; rated then, once.",
                        null=True,
                        verbose_name="closed",
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
            ],
            options={
                "ordering": ["-start"],
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="usageevent",
            name="period",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.usageperiod"
            ),
        ),
        migrations.CreateModel(
            name="RatedLine",
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
                        choices=[("overage", "Overage"), ("adjustment", "Adjustment")], max_length=10
                    ),
                ),
                ("quantity", models.BigIntegerField(verbose_name="quantity")),
                ("rate", models.DecimalField(decimal_places=12, max_digits=20, verbose_name="rate")),
                (
                    "amount",
                    models.BigIntegerField(
                        help_text="Minor units; negative: in the customer's favour.", verbose_name="amount"
                    ),
                ),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("rated_at", models.DateTimeField(verbose_name="rated")),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
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
                    "about",
                    models.ForeignKey(
                        help_text="The period of the use.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.usageperiod",
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="metering.usageperiod",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="QuotaAlert",
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
                ("threshold_percent", models.PositiveSmallIntegerField(verbose_name="threshold, %")),
                ("used", models.BigIntegerField(verbose_name="used then")),
                ("raised_at", models.DateTimeField(verbose_name="raised")),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
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
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="metering.usageperiod",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Quota",
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
                    "included",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Per period; empty: unlimited.",
                        null=True,
                        verbose_name="included",
                    ),
                ),
                (
                    "is_hard",
                    models.BooleanField(
                        default=False, help_text="Refuses beyond what is included.", verbose_name="hard"
                    ),
                ),
                (
                    "overage_rate",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal(0),
                        help_text="Minor units of the currency per unit beyond what is included.",
                        max_digits=20,
                        verbose_name="overage rate",
                    ),
                ),
                ("currency", models.CharField(default="usd", max_length=3, verbose_name="currency")),
                (
                    "used",
                    models.BigIntegerField(
                        default=0, help_text="Counted until the period was closed.", verbose_name="used"
                    ),
                ),
                (
                    "late_quantity",
                    models.BigIntegerField(
                        default=0,
                        help_text="Came, or was taken back, after the period was closed.",
                        verbose_name="late",
                    ),
                ),
                (
                    "late_rated",
                    models.BigIntegerField(
                        default=0,
                        help_text="The part of it that later periods have rated.",
                        verbose_name="late, rated",
                    ),
                ),
                (
                    "is_closed",
                    models.BooleanField(
                        default=False,
                        help_text="The period's, repeated here, where counting locks the row.",
                        verbose_name="closed",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
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
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quotas",
                        to="metering.usageperiod",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="UsageRollup",
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
                ("hour", models.DateTimeField(verbose_name="hour")),
                ("quantity", models.BigIntegerField(default=0, verbose_name="quantity")),
                ("event_count", models.BigIntegerField(default=0, verbose_name="events")),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
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
            ],
            options={
                "ordering": ["-hour"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Allowance",
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
                    "included",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Per period; empty: unlimited.",
                        null=True,
                        verbose_name="included",
                    ),
                ),
                (
                    "is_hard",
                    models.BooleanField(
                        default=False, help_text="Refuses beyond what is included.", verbose_name="hard"
                    ),
                ),
                (
                    "overage_rate",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal(0),
                        help_text="Minor units of the currency per unit beyond what is included.",
                        max_digits=20,
                        verbose_name="overage rate",
                    ),
                ),
                ("currency", models.CharField(default="usd", max_length=3, verbose_name="currency")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("included__isnull", True), ("included__gte", 0), _connector="OR"),
                            ("overage_rate__gte", 0),
                        ),
                        name="allowance_terms_are_sane",
                    ),
                    models.UniqueConstraint(fields=("organization", "meter"), name="allowance_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FormerTerms",
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
                    "included",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Per period; empty: unlimited.",
                        null=True,
                        verbose_name="included",
                    ),
                ),
                (
                    "is_hard",
                    models.BooleanField(
                        default=False, help_text="Refuses beyond what is included.", verbose_name="hard"
                    ),
                ),
                (
                    "overage_rate",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal(0),
                        help_text="Minor units of the currency per unit beyond what is included.",
                        max_digits=20,
                        verbose_name="overage rate",
                    ),
                ),
                ("currency", models.CharField(default="usd", max_length=3, verbose_name="currency")),
                ("used_until", models.BigIntegerField(verbose_name="used until then")),
                ("replaced_at", models.DateTimeField(verbose_name="replaced")),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
                    ),
                ),
                (
                    "quota",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="former_terms",
                        to="metering.quota",
                    ),
                ),
            ],
            options={
                "ordering": ["used_until", "id"],
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("included__isnull", True), ("included__gte", 0), _connector="OR"),
                            ("overage_rate__gte", 0),
                        ),
                        name="formerterms_terms_are_sane",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestRollup",
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
                ("hour", models.DateTimeField(verbose_name="hour")),
                ("endpoint", models.CharField(max_length=200, verbose_name="endpoint")),
                ("method", models.CharField(max_length=10, verbose_name="method")),
                ("status", models.PositiveSmallIntegerField(verbose_name="status")),
                ("count", models.BigIntegerField(verbose_name="requests")),
                (
                    "counted",
                    models.BigIntegerField(
                        help_text="Those that used a unit of the request quota.", verbose_name="counted"
                    ),
                ),
                ("duration_us", models.BigIntegerField(verbose_name="total duration, µs")),
                ("request_bytes", models.BigIntegerField(verbose_name="request size")),
                ("response_bytes", models.BigIntegerField(verbose_name="response size")),
                (
                    "histogram",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        help_text="By metering.usage.histogram.BOUNDS_US.",
                        size=None,
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
            ],
            options={
                "ordering": ["-hour"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "hour", "endpoint", "method", "status"),
                        name="request_rollup_once",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="usageperiod",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)), fields=["end"], name="usage_period_to_close"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.UniqueConstraint(
                fields=("organization", "start"), name="usage_period_starts_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("start__lt", models.F("end"))), name="usage_period_has_length"
            ),
        ),
        migrations.AddIndex(
            model_name="usageevent",
            index=models.Index(fields=["organization", "-id"], name="usage_event_organization"),
        ),
        migrations.AddIndex(
            model_name="usageevent",
            index=models.Index(fields=["organization", "meter", "occurred_at"], name="usage_event_hours"),
        ),
        migrations.AddConstraint(
            model_name="usageevent",
            constraint=models.UniqueConstraint(
                fields=("organization", "source", "event_id"), name="usage_event_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gte", 0)), name="usage_event_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="ratedline",
            index=models.Index(fields=["organization", "-id"], name="rated_line_organization"),
        ),
        migrations.AddConstraint(
            model_name="ratedline",
            constraint=models.UniqueConstraint(
                fields=("period", "about", "meter", "rate", "currency"), name="rated_line_once"
            ),
        ),
        migrations.AddIndex(
            model_name="quotaalert",
            index=models.Index(fields=["organization", "-id"], name="quota_alert_organization"),
        ),
        migrations.AddConstraint(
            model_name="quotaalert",
            constraint=models.UniqueConstraint(
                fields=("period", "meter", "threshold_percent"), name="quota_alert_once"
            ),
        ),
        migrations.AddIndex(
            model_name="quota",
            index=models.Index(fields=["organization", "-id"], name="quota_organization"),
        ),
        migrations.AddIndex(
            model_name="quota",
            index=models.Index(
                condition=models.Q(
                    ("is_closed", True), models.Q(("late_quantity", models.F("late_rated")), _negated=True)
                ),
                fields=["organization"],
                name="quota_late_to_rate",
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("included__isnull", True), ("included__gte", 0), _connector="OR"),
                    ("overage_rate__gte", 0),
                ),
                name="quota_terms_are_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.UniqueConstraint(fields=("period", "meter"), name="quota_once"),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(("used__gte", 0)), name="quota_used_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="usagerollup",
            index=models.Index(fields=["organization", "hour"], name="usage_rollup_hours"),
        ),
        migrations.AddConstraint(
            model_name="usagerollup",
            constraint=models.UniqueConstraint(
                fields=("organization", "meter", "hour"), name="usage_rollup_once"
            ),
        ),
    ]
