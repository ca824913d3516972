"""The user's code: where a line is, which construct it is, what ran, and which functions are one."""
