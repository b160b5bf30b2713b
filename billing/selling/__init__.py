"""What a customer does: buys, changes, cancels and resumes; what must be true before, and what is owed."""
