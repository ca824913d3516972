"""What is declared of a function before anything is traced: its boundary, its effects, its place."""
