"""What calls, steps and transfers take: seconds, dollars, traffic."""
