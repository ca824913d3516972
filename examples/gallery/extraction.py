"""Extraction with validation feedback: what the checks of an invoice say goes back to the model, three times at most.

orch run examples/gallery/extraction.py 'Invoice 7: 2 pens at 3, total 6' --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import llm, tool, workflow


class Invoice(BaseModel):
    number: str
    amounts: list[float]
    total: float


@tool(effects="pure")
def checked(invoice: Invoice) -> str:
    if abs(sum(invoice.amounts) - invoice.total) > 0.01:
        raise ValueError(f"the amounts add up to {sum(invoice.amounts):g}, not {invoice.total:g}")
    return "fits"


@workflow
def extraction(text: str) -> Invoice:
    advice = ""
    for _ in range(3):
        invoice = llm(f"Read the invoice.{advice}\n{text}", returns=Invoice, name="read")
        try:
            checked(invoice)
            break
        except ValueError as error:
            advice = f" Careful: {error}."
    else:
        raise ValueError(f"no invoice that fits:{advice}")
    return invoice
