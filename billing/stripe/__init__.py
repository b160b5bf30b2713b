"""Speaking with Stripe: the only client, how long anybody waits for it, and what it reports. It decides nothing."""
