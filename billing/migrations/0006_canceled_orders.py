from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_webhook_object")]

    operations = [
        migrations.AlterField(
            model_name="order",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("paid", "Paid"),
                    ("failed", "Failed"),
                    ("expired", "Expired"),
                    ("canceled", "Canceled"),
                ],
                default="pending",
                max_length=10,
                verbose_name="status",
            ),
        ),
    ]
