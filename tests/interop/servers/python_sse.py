#!/usr/bin/env python3
"""A server of the oldest HTTP transport (2024-11-05), by the Python SDK 1.30.

Usage: python_sse.py PORT
"""

import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("python-sse", host="127.0.0.1", port=int(sys.argv[1]), log_level="WARNING")


@server.tool()
def echo(message: str) -> str:
    """Sends the message back."""
    return f"Echo: {message}"


server.run("sse")
