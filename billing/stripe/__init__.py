"""Communication with Stripe: the client, its timeouts and circuit breaker, and the webhook inbox. No business rules."""
