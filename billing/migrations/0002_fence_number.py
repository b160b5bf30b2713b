from django.db import migrations


class Migration(migrations.Migration):
    """The numbers of billing.stripe.fencing: drawn before each fetch from Stripe, in order, across all processes."""

    dependencies = [("billing", "0001_catalog_orders_and_projection")]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE billing_fence_number AS bigint",
            "DROP SEQUENCE billing_fence_number",
        )
    ]
