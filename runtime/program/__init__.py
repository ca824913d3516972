"""What is executed: regions of numbered slots and the ops in them, and how they are made of the IR."""
