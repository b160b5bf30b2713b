from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # nobody waits for the index

    dependencies = [
        ("accounts", "0020_index_of_rehearsals"),
    ]

    operations = [
        RemoveIndexConcurrently("organization", "organization_rehearses"),
        migrations.RemoveConstraint("organization", "organization_rehearses_in_test_mode"),
        migrations.RenameField("organization", "rehearsal_now", "test_clock_time"),
        migrations.AlterField(
            model_name="organization",
            name="test_clock_time",
            field=models.DateTimeField(
                "test clock time",
                null=True,
                blank=True,
                help_text="Frozen time of the Stripe test clock that the customer is attached to.",
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                name="organization_test_clock_in_test_mode",
                condition=models.Q(livemode=False) | models.Q(test_clock_time__isnull=True),
            ),
        ),
        AddIndexConcurrently(
            model_name="organization",
            index=models.Index(
                fields=["test_clock_time"],
                condition=models.Q(test_clock_time__isnull=False),
                name="organization_test_clock",
            ),
        ),
    ]
