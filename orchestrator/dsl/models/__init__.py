"""Model calls, the messages that they are asked with, and the tools that they are offered."""
