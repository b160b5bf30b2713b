from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the table may be long and is written all the time: nobody waits for the index

    dependencies = [
        ("accounts", "0015_account_closures"),
        ("billing", "0007_orders_that_wait"),
        ("licensing", "0004_key_overlap_and_retired_actions"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="license",
            index=models.Index(
                condition=models.Q(("suspension_reason", "manual")),
                fields=["created_at"],
                name="license_held",
            ),
        ),
    ]
