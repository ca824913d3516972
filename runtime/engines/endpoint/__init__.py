"""What it takes to talk to any server of OpenAI's chat completions, apart from the engine that does
(:mod:`orchestrator.runtime.engines.openai`)."""
