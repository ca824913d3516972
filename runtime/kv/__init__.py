"""KV lifetime: what keeps the right KV cache alive between the turns of an agent.

Everything here is plain Python with injected clocks and knows no engine; the vLLM adapter and the simulator share it.
"""
