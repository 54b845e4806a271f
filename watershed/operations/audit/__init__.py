"""``./ws audit``: every store proved against the others."""
