#!/usr/bin/env python3
"""The matrix from the Python SDK 1.30, which knows the legacy era only.

Usage: matrix_python_legacy.py TARGET legacy   (what a target is: lib/reach.mjs)
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import anyio
from checks import Checks
from matrix import Heard, matrix
from mcp import ClientSession, StdioServerParameters, stdio_client, types
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl, FileUrl
from reach import Reach


def wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class Verbs:
    """The verbs of `matrix.py` on one session."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def call(self, name: str, arguments: dict[str, Any], progress: Any = None) -> dict[str, Any]:
        return wire(await self.session.call_tool(name, arguments, progress_callback=progress))

    async def withdraw(self) -> None:
        # This SDK drops a call that is given up without a word, which leaves the server at work (2025-11-25,
        # `basic/utilities/cancellation`: who wants to cancel sends the notification). The last request is the call.
        params = types.CancelledNotificationParams(requestId=self.session._request_id - 1, reason="given up")
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))

    async def complete_prompt(self, prompt: str, name: str, value: str) -> list[str]:
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.session.complete(ref, {"name": name, "value": value})).completion.values

    async def want_logs(self) -> None:
        await self.session.set_logging_level("debug")

    @asynccontextmanager
    async def subscribed(self, uri: str) -> AsyncIterator[None]:
        await self.session.subscribe_resource(AnyUrl(uri))
        yield
        await self.session.unsubscribe_resource(AnyUrl(uri))


@asynccontextmanager
async def open_client(place: Reach, heard: Heard) -> AsyncIterator[Verbs]:
    async def sampling(_context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        heard.asked.append(wire(params)["messages"][0]["content"]["text"])
        content = types.TextContent(type="text", text="Paris")
        return types.CreateMessageResult(role="assistant", model="matrix", content=content)

    async def elicitation(_context: Any, params: Any) -> types.ElicitResult:
        heard.asked.append(params.message)
        return types.ElicitResult(action="accept", content=dict(Heard.answer))

    async def roots(_context: Any) -> types.ListRootsResult:
        heard.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl(Heard.root), name="matrix")])

    async def logging(params: types.LoggingMessageNotificationParams) -> None:
        heard.logged.append(params.data)

    async def message(message: Any) -> None:
        root = getattr(message, "root", None)
        if isinstance(root, types.ResourceUpdatedNotification):
            heard.updated.append(str(root.params.uri))

    pipes = StdioServerParameters(command=place.command, args=place.args) if place.pipes else None
    async with (
        (stdio_client(pipes) if pipes else streamable_http_client(place.url)) as (read, write, *_session_id),
        ClientSession(
            read,
            write,
            sampling_callback=sampling,
            elicitation_callback=elicitation,
            list_roots_callback=roots,
            logging_callback=logging,
            message_handler=message,
        ) as session,
    ):
        await session.initialize()
        yield Verbs(session)


async def main() -> None:
    if len(sys.argv) != 3 or sys.argv[2] != "legacy":
        sys.exit("usage: matrix_python_legacy.py TARGET legacy   (this SDK speaks no other era)")
    checks = Checks("matrix python 1.30 legacy")
    await matrix(checks, sys.argv[1], open_client)
    checks.finish()


anyio.run(main)
