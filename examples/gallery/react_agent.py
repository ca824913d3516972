"""ReAct with four tools: the model thinks, calls a tool, looks at what came of it, and goes on.

orch run examples/gallery/react_agent.py 'What is 17 % of the price of A-17?' --model examples/text2sql/model
"""

from orchestrator import react, tool, workflow

PRICES = {"A-17": 40.0, "A-18": 12.5}


@tool(effects="reads")
def price(article: str) -> float:
    """The price of an article in euros."""
    return PRICES[article]


@tool(effects="pure")
def percent(of: float, rate: float) -> float:
    """A share of a number."""
    return of * rate / 100


@tool(effects="reads")
def stock(article: str, city: str = "Berlin") -> int:
    """How many there are in a city."""
    return len(article) + len(city)


@tool(effects="idempotent")
def remember(note: str) -> str:
    """Write a note for later."""
    return f"noted: {note}"


@workflow
def react_agent(question: str) -> str:
    return react(question, tools=[price, percent, stock, remember], max_steps=6)
