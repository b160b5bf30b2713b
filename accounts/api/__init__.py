"""The API of accounts: log-in, people, organizations with members and invitations, API keys."""
