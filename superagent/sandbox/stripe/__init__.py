"""A local Stripe: the API of version 2026-05-27.dahlia, its hosted pages, its webhooks and its billing cycle."""

API_VERSION = "2026-05-27.dahlia"
ACCOUNT_ID = "acct_1SandboxLocalStripe"
