"""Pages for people: Stripe's hosted ones (Checkout, portal, invoice) and the sandbox's own (mail, index)."""
