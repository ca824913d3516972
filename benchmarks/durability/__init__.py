"""What `benchmarks.durable` measures with: the floor, a PostgreSQL of its own, kills, and what they did."""
