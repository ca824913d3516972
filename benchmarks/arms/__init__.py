"""One script per arm of the overhead benchmark; each runs in its own process and imports only its own framework."""
