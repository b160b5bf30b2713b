"""What use costs: counted into quotas under the terms of its moment, and rated once beyond the allowance."""
