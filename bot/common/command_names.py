"""The bot's own commands, by name; those of the kinds come from their file. Knows names only."""

MENU = (
    "help", "duel", "top", "stats", "cancel", "settings", "optin", "optout", "privacy", "report", "check", "about",
    "mydata", "forget",
)  # fmt: skip
"""Everybody's, in the order of the menu."""
PRIVATE_ONLY = frozenset({"mydata"})
ADMIN_MENU = ("retrain", "models", "promote", "approve", "rollback", "health", "backup", "audit", "ban", "unban")
TAKEN = frozenset({"start", *MENU, *ADMIN_MENU})
"""No kind can have one of these."""
