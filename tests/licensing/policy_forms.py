"""The admin form of a policy, for tests."""

from typing import Any

from licensing.models import Policy
from superagent.foundation import tenancy


def form_of(policy: Policy, features: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The admin's form, posted. `features` are all rows; one with an id is an existing one."""
    data = {
        "product_slug": policy.product_slug,
        "name": policy.name,
        "key_prefix": policy.key_prefix,
        "renewal_grace_days": "3",
        "payment_grace_days": "7",
        "max_activations": "20",
        "heartbeat_hours": "",
        "reason": "As agreed",
        "features-TOTAL_FORMS": str(len(features)),
        "features-INITIAL_FORMS": str(sum("id" in feature for feature in features)),
    }
    for index, feature in enumerate(features):
        data |= {f"features-{index}-policy": str(policy.pk)}
        data |= {f"features-{index}-{name}": str(value) for name, value in feature.items()}
    return data | fields


def rows_of(policy: Policy) -> list[dict[str, Any]]:
    with tenancy.system("test"):
        return [
            {"id": f.pk, "slug": f.slug, "action": f.action, "name": f.name, "limit": f.limit or ""}
            for f in policy.features.all()
        ]
