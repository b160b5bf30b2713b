from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """What happened to one person's account, newest first. The trail may be long: nobody waits for the index."""

    atomic = False
    dependencies = [("accounts", "0013_security_events")]

    operations = [
        AddIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("organization__isnull", True), ("target_type", "user")),
                fields=["target_id", "-id"],
                name="audit_of_person",
            ),
        ),
    ]
