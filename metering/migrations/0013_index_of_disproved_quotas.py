from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # quotas are written by every request: nobody waits for this

    dependencies = [("metering", "0012_proofs_of_quotas")]

    operations = [
        AddIndexConcurrently(
            model_name="quota",
            index=models.Index(
                condition=models.Q(("difference", 0), _negated=True),
                fields=["organization"],
                name="quota_disproved",
            ),
        ),
    ]
