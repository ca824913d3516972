"""The scheduling study: its cluster, and how policies are tuned and compared."""
