"""Overage: charges of closed periods, and their invoicing."""
