"""What customers do: buy, change, cancel, resume; its preconditions, and open debts."""
