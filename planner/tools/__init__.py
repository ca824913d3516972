"""Where tools run: what each place costs, and the cheapest that a tool's effects allow."""
