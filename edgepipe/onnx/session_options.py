"""Options that every session of ONNX Runtime in this process is opened with."""

from __future__ import annotations

from typing import Any

FATAL = 4
"""The severity of the runtime's log at which it is silent."""


def quiet_options() -> Any:
    """`SessionOptions` of a silent log: what fails is raised, and edgepipe prints it.

    The log writes the names of a file's nodes to the terminal as they are, with whatever they would do there.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(FATAL)  # what is told before a session, or beside one
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    return options
