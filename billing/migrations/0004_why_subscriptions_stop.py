from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_planned_changes")]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="ended_for_nonpayment",
            field=models.BooleanField(
                db_default=False, default=False, help_text="Stripe gave up collecting and ended it."
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="is_collection_paused",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Renewals are not charged.",
                verbose_name="collection paused",
            ),
        ),
    ]
