"""The portal pages of accounts."""
