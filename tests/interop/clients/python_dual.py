#!/usr/bin/env python3
"""The Python SDK 2.3, in either era.

Usage: python_dual.py URL legacy|modern WORKDIR
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
from mcp import Client
from mcp.shared.exceptions import MCPError
from scenario import walk

# `auto` probes with `server/discover`, as this SDK does by default; the version shows that it found the era.
MODES = {"legacy": ("legacy", "2025-11-25"), "modern": ("auto", "2026-07-28")}


def wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class Verbs:
    """The verbs of `scenario.py` on one client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def instructions(self) -> str | None:
        return self.client.instructions

    async def tools(self) -> list[dict[str, Any]]:
        return wire(await self.client.list_tools())["tools"]

    async def resources(self) -> list[dict[str, Any]]:
        return wire(await self.client.list_resources())["resources"]

    async def templates(self) -> list[dict[str, Any]]:
        return wire(await self.client.list_resource_templates())["resourceTemplates"]

    async def prompts(self) -> list[dict[str, Any]]:
        return wire(await self.client.list_prompts())["prompts"]

    async def call(self, name: str, arguments: dict[str, Any], progress: Any = None) -> dict[str, Any]:
        return wire(await self.client.call_tool(name, arguments, progress_callback=progress))

    async def read(self, uri: str) -> dict[str, Any]:
        return wire(await self.client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str] | None) -> dict[str, Any]:
        return wire(await self.client.get_prompt(name, arguments))

    async def complete_prompt(self, name: str, argument: tuple[str, str], context: dict[str, str] | None) -> list[str]:
        return await self._complete(types.PromptReference(type="ref/prompt", name=name), argument, context)

    async def complete_template(self, uri: str, argument: tuple[str, str]) -> list[str]:
        return await self._complete(types.ResourceTemplateReference(type="ref/resource", uri=uri), argument, None)

    async def _complete(self, ref: Any, argument: tuple[str, str], context: dict[str, str] | None) -> list[str]:
        asked = {"name": argument[0], "value": argument[1]}
        return (await self.client.complete(ref, asked, context)).completion.values

    @staticmethod
    def code(error: Exception) -> int | None:
        return error.error.code if isinstance(error, MCPError) else None


async def main() -> None:
    if len(sys.argv) != 4 or sys.argv[2] not in MODES:
        sys.exit("usage: python_dual.py URL legacy|modern WORKDIR")
    url, era, workdir = sys.argv[1:]
    mode, version = MODES[era]

    @asynccontextmanager
    async def open_client(endpoint: str) -> AsyncIterator[Verbs]:
        async with Client(endpoint, mode=mode) as client:
            equal(client.protocol_version, version, "negotiated version")
            yield Verbs(client)

    checks = Checks(f"python 2.3 {era}")
    await walk(checks, url, workdir, f"python-dual-{era}", open_client)
    checks.finish()


anyio.run(main)
