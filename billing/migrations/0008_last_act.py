from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_orders_that_wait"),
    ]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="last_act",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of the last call of ours that changed it.",
                max_length=255,
            ),
        ),
    ]
