"""What is used, how much of it is included, and what it costs. Its packages, from low to high: `rating` and
`admission`, `quotas`, `usage`, `request_path` and `analytics`."""
