"""Our typed copies of Stripe's objects: fetched anew, fenced, applied in one transaction.

Nothing is taken from a webhook's payload but the object's id, and nothing is inferred from the order of arrival.
`refresh(id)` in each module: take a fencing token, fetch, apply if it is the newest. In the system scope only.
"""
