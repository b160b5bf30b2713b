"""The API of accounts: login, people, organizations with members and invitations, API keys."""
