"""What use beyond the allowance costs: charges of closed periods, and their way onto an invoice."""
