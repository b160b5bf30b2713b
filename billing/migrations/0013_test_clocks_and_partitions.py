from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_currency_of_balance"),
    ]

    operations = [
        migrations.RenameField("billingaccount", "rehearsal_target", "test_clock_target"),
        migrations.AlterField(
            model_name="billingaccount",
            name="test_clock_target",
            field=models.DateTimeField(
                "test clock target",
                null=True,
                blank=True,
                help_text="Where the test clock is being advanced to.",
            ),
        ),
        migrations.RemoveIndex("webhookevent", "webhook_lane"),
        migrations.RenameField("webhookevent", "lane", "partition_key"),
        migrations.AlterField(
            model_name="webhookevent",
            name="partition_key",
            field=models.CharField(
                "partition key",
                max_length=255,
                help_text="The customer. Events of one partition are handled in order.",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                fields=["partition_key", "created_at"],
                condition=models.Q(state="pending"),
                name="webhook_partition",
            ),
        ),
        migrations.RenameModel("WebhookLane", "WebhookLease"),
        migrations.RenameField("webhooklease", "name", "partition_key"),
        migrations.AlterField(
            model_name="webhooklease",
            name="leased_by",
            field=models.UUIDField(
                null=True,
                help_text="The run of a worker that holds the lease; only it may renew or release it.",
            ),
        ),
    ]
