"""Whether plans run as planned: several nodes of unlike speed on this machine, real Ray, real vLLM."""
