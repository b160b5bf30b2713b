"""What is sold: plans in versions with their prices, the first day's catalog, and its copy at Stripe."""
