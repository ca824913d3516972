"""Tools that must run at most once."""
