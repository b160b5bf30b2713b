"""The API of accounts: login, users, organizations with members and invitations, API keys."""
