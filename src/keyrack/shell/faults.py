"""What a log tells of a fault of ours: where and of which kind, and never its text, which may hold what came in."""

import traceback
from typing import Any


def fault(error: BaseException) -> dict[str, Any]:
    """Type and places of an error that nobody foresaw, for the fields of a log line."""
    frames = traceback.extract_tb(error.__traceback__)
    trace = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames if "keyrack" in frame.filename]
    return {"error": type(error).__name__, "trace": trace or str(frames[-1:])}
