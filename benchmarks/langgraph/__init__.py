"""Four workflows of `examples/gallery` in LangGraph, written from its documentation, to count and run beside ours."""
