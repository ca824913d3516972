"""A discrete-event simulator of LLM serving: what a cluster does with a stream of workflow instances."""
