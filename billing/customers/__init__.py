"""Billing accounts: the customer at Stripe, its cards, and Stripe's customer portal."""
