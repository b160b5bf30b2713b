from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Organization
from licensing import licenses, policies, vault
from licensing.models import License
from superagent.foundation import tenancy

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def issued(organization: Organization, product: str = "nextpanel-professional", **terms: Any) -> License:
    with tenancy.system("test"):
        return licenses.issue(
            organization=organization, policy=policies.of_product(product), **({"now": NOW} | terms)
        )


@pytest.fixture
def make_license(db: None) -> Callable[..., License]:
    return issued


@pytest.fixture
def license_(organization: Organization, make_license) -> License:
    """A professional license that never expires: 50 databases, 25 domains, 100 e-mail accounts."""
    return make_license(organization)


@pytest.fixture
def license_key(license_: License) -> str:
    return vault.decrypt(license_.key_encrypted)
