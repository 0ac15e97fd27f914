"""Named checks with a deadline each, for the Python clients: the twin of `checks.mjs`."""

import sys
from collections.abc import Awaitable, Callable

import anyio

# Longer than any check needs on a loaded two-core machine; a hang ends here and says so.
CHECK_DEADLINE_SECONDS = 30.0


class Checks:
    """Prints `ok - part: name` or `not ok - part: name: why` for each check."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.failed = 0

    async def check(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        """Runs `body`; whatever it raises, and a missed deadline, is the check's failure."""
        try:
            with anyio.fail_after(CHECK_DEADLINE_SECONDS):
                await body()
        except Exception as error:  # every error is this check's failure
            self.fail(name, error)
        else:
            print(f"ok - {self.part}: {name}", flush=True)

    def fail(self, name: str, error: BaseException) -> None:
        """Records a failure with its whole chain of reasons on one line."""
        self.failed += 1
        reasons = [error]
        while isinstance(reasons[-1], BaseExceptionGroup):
            reasons.append(reasons[-1].exceptions[0])
        if isinstance(error, TimeoutError):
            reasons = [TimeoutError(f"no end within {CHECK_DEADLINE_SECONDS} s")]
        why = f"{type(reasons[-1]).__name__}: {reasons[-1]}".replace("\n", " ⏎ ")
        print(f"not ok - {self.part}: {name}: {why[:2000]}", flush=True)

    def finish(self) -> None:
        """Ends the process with what the checks found."""
        sys.exit(1 if self.failed else 0)


def equal(actual: object, expected: object, what: str) -> None:
    """Fails with both values shown when they differ."""
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r:.600}, got {actual!r:.600}")


def ensure(condition: bool, message: object) -> None:
    """Fails with the given message when the condition does not hold."""
    if not condition:
        raise AssertionError(f"{message}")


async def failure(call: Awaitable[object], what: str) -> Exception:
    """Returns the error that `call` raises; fails itself when nothing is raised."""
    try:
        result = await call
    except Exception as error:  # the caller looks at it
        return error
    raise AssertionError(f"{what}: succeeded, but had to fail: {result!r:.300}")
