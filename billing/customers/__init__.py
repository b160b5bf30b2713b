"""Who pays: an organization's billing account with its customer at Stripe, the cards, and Stripe's own portal."""
