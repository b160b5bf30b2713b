import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0013_test_clocks_and_partitions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="billingaccount",
            name="balance",
            field=models.IntegerField(
                default=0,
                help_text="In minor units; a negative balance is credit for the next invoice.",
                verbose_name="balance",
            ),
        ),
        migrations.AlterField(
            model_name="billingaccount",
            name="card_tried_at",
            field=models.DateTimeField(
                blank=True, help_text="When a saved card was last charged, successfully or not.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="billingaccount",
            name="declined_method_id",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="The saved card whose latest charge was declined.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="billingaccount",
            name="plan",
            field=models.ForeignKey(
                help_text="The current plan.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.plan",
            ),
        ),
        migrations.AlterField(
            model_name="overagecharge",
            name="is_carried_over",
            field=models.BooleanField(
                default=False, help_text="The target was final already; it goes on the next invoice."
            ),
        ),
        migrations.AlterField(
            model_name="overagecharge",
            name="target_invoice_id",
            field=models.CharField(
                blank=True,
                help_text="The Stripe invoice to put it on.",
                max_length=255,
                verbose_name="target invoice",
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="status",
            field=models.CharField(
                choices=[
                    ("processing", "Processing"),
                    ("requires_action", "Requires action by the customer"),
                    ("failed", "Failed"),
                    ("succeeded", "Succeeded"),
                    ("canceled", "Canceled"),
                ],
                max_length=20,
                verbose_name="status",
            ),
        ),
        migrations.AlterField(
            model_name="plan",
            name="features",
            field=models.JSONField(
                default=list, help_text="Selling points for the pricing table.", verbose_name="features"
            ),
        ),
        migrations.AlterField(
            model_name="plan",
            name="is_published",
            field=models.BooleanField(
                default=False, help_text="Whether this version is on sale.", verbose_name="published"
            ),
        ),
        migrations.AlterField(
            model_name="planallowance",
            name="is_hard",
            field=models.BooleanField(
                default=True,
                help_text="Refuse requests over it instead of billing overage.",
                verbose_name="hard",
            ),
        ),
        migrations.AlterField(
            model_name="planallowance",
            name="overage_rate",
            field=models.DecimalField(
                decimal_places=12,
                default=0,
                help_text="Minor units for each unit over the included amount.",
                max_digits=20,
                verbose_name="overage rate",
            ),
        ),
        migrations.AlterField(
            model_name="product",
            name="slug",
            field=models.SlugField(
                help_text="Immutable: the API uses it as the id.",
                max_length=60,
                unique=True,
                verbose_name="slug",
            ),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="ended_for_nonpayment",
            field=models.BooleanField(
                db_default=False, default=False, help_text="Ended by Stripe because payment failed."
            ),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="last_act",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Mark of our last call that changed it.",
                max_length=255,
            ),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="pending_price",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The price from the end of the paid period; empty if it stays the same.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.price",
                verbose_name="follows",
            ),
        ),
    ]
