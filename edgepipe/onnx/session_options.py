"""Options that the sessions of ONNX Runtime in this process are opened with, by what they are for."""

from __future__ import annotations

from typing import Any

from edgepipe.targets.host import available_cores

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


def measuring(threads: int) -> Any:
    """Options of every measurement: sequential, and idle threads that do not spin.

    Spinning threads of one session would take the core from the other one of a paired measurement.
    """
    import onnxruntime as ort

    options = quiet_options()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def asking() -> Any:
    """Options of a session that is only to answer: every core, of which none spins between runs."""
    options = quiet_options()
    options.intra_op_num_threads = available_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # whoever asks computes between runs
    return options


def as_written(at_once: int = 1) -> Any:
    """Options of a session that computes Q/DQ as it is written, so alike on every processor.

    Args:
        at_once: sessions or runs side by side, between which the cores are divided.
    """
    options = quiet_options()
    options.intra_op_num_threads = max(1, available_cores() // at_once)
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options
