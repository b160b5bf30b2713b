"""Typed projections of Stripe's objects: fetched again, fenced, applied in one transaction.

Only the object's id is taken from a webhook's payload, and nothing is inferred from the order of arrival.
`refresh(id)` in each module: take a fencing token, fetch, apply if it is the newest. In the system scope only.
"""
