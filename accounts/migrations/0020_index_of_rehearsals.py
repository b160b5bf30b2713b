from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # nobody waits for the index

    dependencies = [
        ("accounts", "0019_passkeys_that_failed"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="organization",
            index=models.Index(
                condition=models.Q(("rehearsal_now__isnull", False)),
                fields=["rehearsal_now"],
                name="organization_rehearses",
            ),
        ),
    ]
