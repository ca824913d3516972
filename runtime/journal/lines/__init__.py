"""What is written of a run: lines of text, and which of them count."""
