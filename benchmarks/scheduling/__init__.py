"""The scheduling study: its cluster, its load, and how policies are tuned and compared."""
