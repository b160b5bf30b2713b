"""License policies, and the shipped ones that are seeded."""

from dataclasses import dataclass

from django.db import transaction

from licensing.models import Policy, PolicyFeature


class NoPolicy(LookupError):
    """A license product has no policy. Staff must create one before licenses can be issued."""


@dataclass(frozen=True, slots=True)
class Tier:
    slug: str
    name: str
    databases: int
    domains: int
    emails: int
    servers: int


NEXTPANEL = (
    Tier("nextpanel-starter", "NextPanel Starter", databases=10, domains=5, emails=20, servers=5),
    Tier(
        "nextpanel-professional", "NextPanel Professional", databases=50, domains=25, emails=100, servers=20
    ),
    Tier("nextpanel-business", "NextPanel Business", databases=500, domains=250, emails=1000, servers=100),
)


def of_product(slug: str) -> Policy:
    """Returns the policy of a product. Raises NoPolicy."""
    policy = Policy.objects.filter(product_slug=slug).first()
    if policy is None:
        raise NoPolicy(f"no license policy for the product {slug}")
    return policy


def seed() -> int:
    """Create the shipped policies that are missing. Existing ones keep changes by staff. Returns the number created."""
    new = 0
    for tier in NEXTPANEL:
        with transaction.atomic():
            policy, is_new = Policy.objects.get_or_create(
                product_slug=tier.slug,
                defaults={"name": tier.name, "key_prefix": "NP", "max_activations": tier.servers},
            )
            if is_new:
                _add_features(policy, tier)
            new += is_new
    return new


def _add_features(policy: Policy, tier: Tier) -> None:
    rows = (
        ("databases", "create_database", "Databases", tier.databases),
        ("domains", "create_domain", "Domains", tier.domains),
        ("emails", "create_email", "Email accounts", tier.emails),
    )
    PolicyFeature.objects.bulk_create(
        PolicyFeature(policy=policy, slug=slug, action=action, name=name, limit=limit)
        for slug, action, name, limit in rows
    )


def by_product() -> dict[str, Policy]:
    """Returns every policy with its features, by product slug, in two queries."""
    return {policy.product_slug: policy for policy in Policy.objects.prefetch_related("features")}
