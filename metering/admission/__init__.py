"""Whether a request may be served, asked of Redis in one round trip: its rate, its unit of the quota, its streams."""
