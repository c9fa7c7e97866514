"""Every message of a kind in an ONNX file, wherever the format allows one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def messages(of: Any, kind: type[Kind]) -> Iterator[Kind]:
    """Those in the graph, its subgraphs, functions, attributes, sparse tensors and training information, in order.

    The walk follows the format's own description, so that no place is forgotten, now or when a field is added.
    """
    waiting: list[Any] = [of]
    while waiting:
        message = waiting.pop()
        if isinstance(message, kind):
            yield message
        inner: list[Any] = []
        for field, value in message.ListFields():
            if field.message_type is not None:
                inner += [value] if hasattr(value, "ListFields") else value
        waiting += reversed(inner)
