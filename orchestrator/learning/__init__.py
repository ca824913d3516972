"""What is learned from runs and outlives them."""
