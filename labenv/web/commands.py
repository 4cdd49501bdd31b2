"""Commands of labenv that are run for a page: a process of their own, the document that they print, and how far they are."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labenv.errors import EngineError
from labenv.text import decoded

Hear = Callable[[str], None]

_LINE = 1 << 20  # bytes of a line that a command says, at most


async def printed(
    command: Sequence[str],
    environ: dict[str, str] | None = None,
    folder: Path = Path("/"),
    hear: Hear | None = None,
) -> Any:
    """The document that a command of labenv prints with --json; `hear` is told the lines beside it. Raises EngineError as it says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environ, cwd=folder, limit=_LINE
    )
    assert process.stdout
    assert process.stderr
    out, why = await asyncio.gather(process.stdout.read(), _heard(process.stderr, hear))
    if await process.wait() not in (0, 1) or not out:
        raise EngineError(why.removeprefix("labenv: ") or "The command ended too early.")
    return json.loads(out)


async def _heard(lines: asyncio.StreamReader, hear: Hear | None) -> str:
    """The last of the lines of a command, each of which is told as it comes."""
    last = ""
    async for data in lines:
        if line := decoded(data).strip():
            last = line
            if hear:
                hear(line)
    return last
