"""A step in a store, without a pass that made it."""

from __future__ import annotations

from edgepipe.contract import Signature
from edgepipe.contract.artifact import Kind, seal
from edgepipe.store.store import Entry, Store

SIGNATURE = Signature(input_shape=(3, 8, 8), classes=("a", "b"))


def put(store: Store, key: str, content: bytes) -> Entry:
    with store.workspace() as space:
        out = space / "artifact"
        out.mkdir()
        (out / "model.onnx").write_bytes(content)
        return store.commit_step(key, space, seal(out, Kind.ONNX, SIGNATURE), {"seconds": 1.5, "facts": {"x": 1}})
