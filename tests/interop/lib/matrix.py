"""The matrix from a Python client; `matrix.mjs` says what it is and holds the same cells for TypeScript.

A client program supplies `open_client(place, heard)`, an async context manager that connects to a place of `reach.py`,
declares sampling, elicitation and roots, answers questions by `heard`, and yields an object with the few verbs used here.
"""

from typing import Any

import anyio
from checks import Checks, ensure, equal
from reach import Reach

SERVERS = ["stdio-legacy", "stdio-modern", "http-legacy", "http-modern", "sse"]
# More than one pipe buffer and more than one socket buffer.
LARGE_CHARS = 1_000_000
# An update is announced at once; this is for a loaded machine.
UPDATE_SECONDS = 10


class Heard:
    """What the server asked and told, and the answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.logged: list[Any] = []
        self.updated: list[str] = []

    answer = {"username": "ada", "email": "ada@example.com", "name": "Ada"}
    root = "file:///matrix"


async def matrix(checks: Checks, target: str, open_client: Any) -> None:
    for server in SERVERS:
        heard, place = Heard(), Reach(target, f"cell-{server}")

        async def check(feature: str, body: Any, server: str = server, heard: Heard = heard) -> None:
            heard.asked.clear()
            await checks.check(f"{server}: {feature}", body)

        try:
            async with open_client(place, heard) as client:
                await cells(check, client, heard)
        except Exception as error:  # a connection that breaks is a failed check like any other
            checks.fail(f"{server}: the connection", error)
        if place.pipes:
            await checks.check(f"{server}: said nothing but MCP", place.verify)


def text(result: dict[str, Any]) -> str:
    return result["content"][0]["text"]


async def cells(check: Any, client: Any, heard: Heard) -> None:
    async def progress() -> None:
        notes: list[float] = []

        async def note(done: float, _total: float | None, _message: str | None) -> None:
            notes.append(done)

        await client.call("test_tool_with_progress", {}, note)
        equal(notes, [0, 50, 100], "progress")

    async def completion() -> None:
        equal(await client.complete_prompt("test_prompt_with_arguments", "arg1", "par"), ["paris", "park"], "values")

    async def large() -> None:
        name = "x" * LARGE_CHARS
        back = text(await client.call("json_schema_2020_12_tool", {"name": name}))
        ensure(name in back, f"{len(back)} characters came back")

    async def cancel() -> None:
        before = text(await client.call("test_cancelled", {}))
        with anyio.CancelScope() as scope:

            async def note(_done: float, _total: float | None, _message: str | None) -> None:
                await client.withdraw()
                scope.cancel()

            await client.call("test_slow", {}, note)
        ensure(scope.cancelled_caught, "the call ended by itself")
        ensure("simple text" in text(await client.call("test_simple_text", {})), "the next call")

        async def counted() -> bool:
            return text(await client.call("test_cancelled", {})) != before

        await until(counted, "the server heard of it")

    async def elicitation() -> None:
        result = text(await client.call("test_elicitation", {"message": "Who are you?"}))
        equal(heard.asked, ["Who are you?"], "asked")
        ensure("ada@example.com" in result, result)

    async def sampling() -> None:
        result = text(await client.call("test_sampling", {"prompt": "What is the capital of France?"}))
        equal(heard.asked, ["What is the capital of France?"], "asked")
        ensure("Paris" in result, result)

    async def roots() -> None:
        result = text(await client.call("test_input_required_result_list_roots", {}))
        equal(heard.asked, ["roots"], "asked")
        ensure("file:///matrix" in result, result)

    async def log() -> None:
        await client.want_logs()
        await client.call("test_tool_with_logging", {})

        async def three() -> bool:
            return len(heard.logged) == 3

        await until(three, "three notes")
        equal(
            heard.logged, ["Tool execution started", "Tool processing data", "Tool execution completed"], "notes"
        )

    async def subscription() -> None:
        async with client.subscribed("test://watched-resource"):
            await client.call("test_trigger_resource_update", {})

            async def told() -> bool:
                return len(heard.updated) > 0

            await until(told, "an update")
        equal(heard.updated[0], "test://watched-resource", "what was updated")

    await check("tool with progress", progress)
    await check("completion", completion)
    await check("large result", large)
    await check("cancel", cancel)
    await check("elicitation", elicitation)
    await check("sampling", sampling)
    await check("roots", roots)
    await check("log", log)
    await check("subscription", subscription)


async def until(holds: Any, what: str) -> None:
    with anyio.move_on_after(UPDATE_SECONDS):
        while not await holds():
            await anyio.sleep(0.02)
        return
    raise AssertionError(f"never: {what}")
