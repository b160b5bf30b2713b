"""Stand-ins for outside systems, served over their real wire formats. Nothing of the product imports this package."""
