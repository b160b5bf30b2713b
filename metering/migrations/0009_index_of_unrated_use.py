from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # quotas are written by every request: nobody waits for this

    dependencies = [("metering", "0008_use_by_its_time")]

    operations = [
        AddIndexConcurrently(
            model_name="quota",
            index=models.Index(
                condition=models.Q(
                    models.Q(("has_unrated_use", True), ("is_closed", True)),
                    models.Q(
                        ("is_closed", True),
                        models.Q(("late_quantity", models.F("late_rated")), _negated=True),
                    ),
                    _connector="OR",
                ),
                fields=["organization"],
                name="quota_unrated",
            ),
        ),
        RemoveIndexConcurrently(model_name="quota", name="quota_late_to_rate"),
    ]
