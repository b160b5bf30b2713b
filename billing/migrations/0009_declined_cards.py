from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_last_act")]

    operations = [
        migrations.AddField(
            model_name="billingaccount",
            name="declined_method_id",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="The saved card whose newest charge was declined.",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="billingaccount",
            name="card_tried_at",
            field=models.DateTimeField(
                blank=True, help_text="When a saved card was charged last, well or not.", null=True
            ),
        ),
    ]
