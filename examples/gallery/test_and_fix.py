"""Test and fix: code is written, tested in a process of its own, and mended by what the test said.

The process may do what you may: run a model's code in a container of its own.

orch run examples/gallery/test_and_fix.py 'a function add(a, b)' --model examples/text2sql/model
"""

from orchestrator import llm, tool, workflow


@tool(effects="idempotent", isolation="process", memory="256 MiB", timeout=10)
def run_tests(code: str) -> str:
    space: dict[str, object] = {}
    try:
        exec(code, space)
        exec("assert add(2, 3) == 5", space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "passed"


@workflow(max_iterations=4)
def test_and_fix(task: str) -> str:
    code = llm(f"Write Python: {task}", name="write")
    report = run_tests(code)
    tries = 0
    while report != "passed" and tries < 3:
        code = llm(f"Mend it.\n{code}\nThe test says: {report}", name="mend")
        report = run_tests(code)
        tries += 1
    return code if report == "passed" else f"not solved: {report}"
