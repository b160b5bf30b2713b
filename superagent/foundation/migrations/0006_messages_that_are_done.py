from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the table may be long and is written all the time: nobody waits for the index

    dependencies = [
        ("foundation", "0005_given_up_messages"),
    ]

    operations = [
        migrations.AlterField(
            model_name="outboxmessage",
            name="state",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("done", "Done"),
                    ("dead", "Dead"),
                    ("dismissed", "Dismissed"),
                    ("forgotten", "Done; only its key is kept"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
        AddIndexConcurrently(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("first_sent_at__isnull", False), ("state", "pending")),
                fields=["first_sent_at"],
                name="outbox_tried",
            ),
        ),
        AddIndexConcurrently(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("state", "done")), fields=["finished_at"], name="outbox_done"
            ),
        ),
    ]
