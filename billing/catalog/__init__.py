"""The catalog: versioned plans and prices, the initial catalog, and the sync to Stripe."""
