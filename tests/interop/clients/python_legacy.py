#!/usr/bin/env python3
"""The Python SDK 1.30, as most of today's Python clients use it.

Usage: python_legacy.py URL legacy WORKDIR
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import anyio
from checks import Checks
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl
from scenario import walk


def wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class Verbs:
    """The verbs of `scenario.py` on one session."""

    def __init__(self, session: ClientSession, hello: types.InitializeResult) -> None:
        self.session = session
        self.hello = hello

    def instructions(self) -> str | None:
        return self.hello.instructions

    async def tools(self) -> list[dict[str, Any]]:
        return wire(await self.session.list_tools())["tools"]

    async def resources(self) -> list[dict[str, Any]]:
        return wire(await self.session.list_resources())["resources"]

    async def templates(self) -> list[dict[str, Any]]:
        return wire(await self.session.list_resource_templates())["resourceTemplates"]

    async def prompts(self) -> list[dict[str, Any]]:
        return wire(await self.session.list_prompts())["prompts"]

    async def call(self, name: str, arguments: dict[str, Any], progress: Any = None) -> dict[str, Any]:
        return wire(await self.session.call_tool(name, arguments, progress_callback=progress))

    async def read(self, uri: str) -> dict[str, Any]:
        return wire(await self.session.read_resource(AnyUrl(uri)))

    async def prompt(self, name: str, arguments: dict[str, str] | None) -> dict[str, Any]:
        return wire(await self.session.get_prompt(name, arguments))

    async def complete_prompt(self, name: str, argument: tuple[str, str], context: dict[str, str] | None) -> list[str]:
        ref = types.PromptReference(type="ref/prompt", name=name)
        return await self._complete(ref, argument, context)

    async def complete_template(self, uri: str, argument: tuple[str, str]) -> list[str]:
        ref = types.ResourceTemplateReference(type="ref/resource", uri=uri)
        return await self._complete(ref, argument, None)

    async def _complete(self, ref: Any, argument: tuple[str, str], context: dict[str, str] | None) -> list[str]:
        asked = {"name": argument[0], "value": argument[1]}
        return (await self.session.complete(ref, asked, context)).completion.values

    @staticmethod
    def code(error: Exception) -> int | None:
        return error.error.code if isinstance(error, McpError) else None


@asynccontextmanager
async def open_client(url: str) -> AsyncIterator[Verbs]:
    async with (
        streamable_http_client(url) as (read, write, _session_id),
        ClientSession(read, write) as session,
    ):
        yield Verbs(session, await session.initialize())


async def main() -> None:
    if len(sys.argv) != 4 or sys.argv[2] != "legacy":
        sys.exit("usage: python_legacy.py URL legacy WORKDIR   (this SDK speaks no other era)")
    checks = Checks("python 1.30 legacy")
    await walk(checks, sys.argv[1], sys.argv[3], "python-legacy", open_client)
    checks.finish()


anyio.run(main)
