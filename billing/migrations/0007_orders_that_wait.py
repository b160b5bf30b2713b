from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the table may be long and is written all the time: nobody waits for the index

    dependencies = [
        ("accounts", "0015_account_closures"),
        ("billing", "0006_canceled_orders"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                condition=models.Q(("status", "pending")), fields=["created_at"], name="order_pending"
            ),
        ),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                condition=models.Q(("status", "failed")), fields=["created_at"], name="order_failed"
            ),
        ),
    ]
