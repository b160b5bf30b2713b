"""What was used: events as they are told and taken back, their hourly sums, and the reconciliation of both."""
