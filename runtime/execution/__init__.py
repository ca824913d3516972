"""Executing a program: what is ready, attempts at it, and what becomes of their failures."""
