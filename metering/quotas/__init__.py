"""What an organization may use: months, what each includes of a meter, how much is left, and who is told of it."""
