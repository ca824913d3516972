"""What `benchmarks.durable` measures with: the floor, kills, and the programs that are killed."""
