from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_webhook_finished_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="billingaccount",
            name="currency",
            field=models.CharField(
                db_default="usd",
                default="usd",
                help_text="Of the balance.",
                max_length=3,
                verbose_name="currency",
            ),
        ),
    ]
