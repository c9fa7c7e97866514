"""The page feeds a model as example.py does: states, fixed batches, axes anywhere, halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepipe.bundle.manifest import OUTPUT, golden_of
from edgepipe.bundle.page import FILES
from edgepipe.verify.places.browser import BrowserWasm, distribution
from tests.bundle.test_named import bundled
from tests.tasks.pages.node import NODE, in_node, packed
from tests.verify.test_inputs import CASES

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
FEED = FILES / "feed.mjs"


def test_halves_are_numpys_both_ways() -> None:
    values = np.concatenate(
        [
            np.random.default_rng(0).standard_normal(500) * 10.0 ** np.arange(-8, 2).repeat(50),
            [0, 1, -1, 65504, 65519.9],
        ]
    ).astype(np.float32)
    bits = in_node(FEED, "return given.map(page.half);", values.tolist())
    assert np.array_equal(np.array(bits, np.uint16), values.astype(np.float16).view(np.uint16))
    every = np.arange(0x10000, dtype=np.uint32).astype(np.uint16)
    every = every[np.isfinite(every.view(np.float16))]
    back = in_node(FEED, "return given.map(page.whole);", every.tolist())
    assert np.array_equal(np.array(back, np.float32), every.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_an_example_fills_a_batch_and_its_part_is_taken_out(axis: int | None) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 12)
    script = (
        "const {data, dims} = page.repeated({data: Float32Array.from(given.flat), dims: given.dims}, given.axis, 3);"
        "return [data, dims, page.firstOf({data, dims, type: 'float32'}, given.axis === null ? 1 : 3, given.axis)];"
    )
    flat, dims, back = in_node(FEED, script, {"flat": array.ravel().tolist(), "dims": [2, 12], "axis": axis})
    wanted = array if axis is None else np.repeat(np.expand_dims(array, axis), 3, axis)
    assert np.array_equal(np.reshape(flat, dims), wanted)
    assert np.array_equal(np.reshape(back["data"], back["dims"]), array)


@pytest.mark.skipif(bool(BrowserWasm().lacking()), reason=str(BrowserWasm().lacking()))
@pytest.mark.parametrize("case", CASES)
def test_every_golden_output_is_met_by_the_pages_own_way_of_asking(case: str, tmp_path: Path) -> None:
    bundle, rows = bundled(tmp_path, case)
    assert bundle.feed is not None
    with np.load(tmp_path / "golden.npz") as golden:
        wanted = golden_of(golden, OUTPUT)
    script = (
        f"const ort = await import('{(distribution() / 'ort.node.min.mjs').as_uri()}');"
        f"const session = await ort.InferenceSession.create(readFileSync('{tmp_path}/model.onnx'));"
        "const found = []; for (const row of given.rows)"
        "found.push((await page.ask(ort, session, given.feed, arrays(row)))[0]); return found;"
    )
    first = [{name: np.asarray(value[row], np.float32) for name, value in rows.items()} for row in range(2)]
    given = {"rows": [packed(row) for row in first], "feed": bundle.feed.model_dump(mode="json")}
    for row, found in enumerate(in_node(FEED, script, given)):
        for name, value in wanted.items():
            one = found[name or next(iter(found))]
            assert one["dims"] == list(value.shape[1:])
            got = [np.nan if each is None else each for each in one["data"]]
            np.testing.assert_allclose(np.reshape(got, value.shape[1:]), value[row], atol=1e-5)
