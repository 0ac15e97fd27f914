"""How a client reaches a server behind the gateway; `reach.mjs` says what a target is and does the same for TypeScript."""

import json
import os
import tempfile
from pathlib import Path

from checks import equal

# Starts the program that follows and keeps its output in the first file.
KEPT = '"${@:2}" | tee "$1"'


class Reach:
    """A server's URL, or what to start in order to speak to it on pipes."""

    def __init__(self, target: str, server: str) -> None:
        way, _, place = target.partition(":")
        self.url = f"{target}/{server}"
        self.pipes = way in ("own", "bridge")
        if not self.pipes:
            return
        self.said = Path(tempfile.mkdtemp(prefix="interop-")) / "said"
        source = "--config" if way == "own" else "--connect"
        program = [os.environ["TRUNKLINE"], "stdio", source, place, "--server", server]
        self.command = "bash"
        self.args = ["-c", KEPT, "bash", str(self.said), *program]

    async def verify(self) -> None:
        """What has to hold of what the program has said."""
        for line in self.said.read_text(encoding="utf-8").split("\n")[:-1]:
            equal(json.loads(line)["jsonrpc"], "2.0", line[:200])
