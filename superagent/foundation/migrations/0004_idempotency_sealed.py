from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("foundation", "0003_outbox_dismissed")]

    operations = [
        migrations.AddField("idempotencyrecord", "sealed", models.BinaryField(null=True)),
    ]
