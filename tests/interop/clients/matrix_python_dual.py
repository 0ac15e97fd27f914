#!/usr/bin/env python3
"""The matrix from the Python SDK 2.3, in either era.

Usage: matrix_python_dual.py TARGET legacy|modern   (what a target is: lib/reach.mjs)
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import anyio
import mcp_types as types
from checks import Checks, equal
from matrix import Heard, matrix
from mcp import Client, StdioServerParameters
from reach import Reach

MODES = {"legacy": ("legacy", "2025-11-25"), "modern": ("auto", "2026-07-28")}


def wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class Verbs:
    """The verbs of `matrix.py` on one client."""

    def __init__(self, client: Client, era: str, heard: Heard) -> None:
        self.client, self.era, self.heard = client, era, heard

    async def call(self, name: str, arguments: dict[str, Any], progress: Any = None) -> dict[str, Any]:
        return wire(await self.client.call_tool(name, arguments, progress_callback=progress))

    async def withdraw(self) -> None:
        """The SDK itself tells the server when a call is given up."""

    async def complete_prompt(self, prompt: str, name: str, value: str) -> list[str]:
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.client.complete(ref, {"name": name, "value": value})).completion.values

    async def want_logs(self) -> None:
        if self.era == "legacy":
            await self.client.set_logging_level("debug")

    @asynccontextmanager
    async def subscribed(self, uri: str) -> AsyncIterator[None]:
        if self.era == "legacy":
            await self.client.subscribe_resource(uri)
            yield
            await self.client.unsubscribe_resource(uri)
            return
        async with self.client.listen(resource_subscriptions=[uri]):
            yield


@asynccontextmanager
async def open_client(place: Reach, heard: Heard, era: str) -> AsyncIterator[Verbs]:
    async def sampling(_context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        heard.asked.append(wire(params)["messages"][0]["content"]["text"])
        content = types.TextContent(type="text", text="Paris")
        return types.CreateMessageResult(role="assistant", model="matrix", content=content)

    async def elicitation(_context: Any, params: Any) -> types.ElicitResult:
        heard.asked.append(params.message)
        return types.ElicitResult(action="accept", content=dict(Heard.answer))

    async def roots(_context: Any) -> types.ListRootsResult:
        heard.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri=Heard.root, name="matrix")])

    async def logging(params: types.LoggingMessageNotificationParams) -> None:
        heard.logged.append(params.data)

    async def message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.updated.append(str(message.params.uri))

    server = StdioServerParameters(command=place.command, args=place.args) if place.pipes else place.url
    mode, version = MODES[era]
    async with Client(
        server,
        mode=mode,
        sampling_callback=sampling,
        elicitation_callback=elicitation,
        list_roots_callback=roots,
        logging_callback=logging,
        log_level="debug" if era == "modern" else None,
        message_handler=message,
    ) as client:
        equal(client.protocol_version, version, "negotiated version")
        yield Verbs(client, era, heard)


async def main() -> None:
    if len(sys.argv) != 3 or sys.argv[2] not in MODES:
        sys.exit("usage: matrix_python_dual.py TARGET legacy|modern")
    target, era = sys.argv[1:]
    checks = Checks(f"matrix python 2.3 {era}")
    await matrix(checks, target, lambda place, heard: open_client(place, heard, era))
    checks.finish()


anyio.run(main)
