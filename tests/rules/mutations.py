"""Faults put into edgepipe on purpose: each has to be noticed by the quick test that it names.

`python -m tests.rules.mutations` makes each in a copy of the source and runs its tests there, as `.ci/spoiled` does;
words after it choose those whose names hold one of them. A fault that no test notices is a missing test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.rules.source import ROOT, modules, text_of


class Mutation(NamedTuple):
    """A fault.

    Attributes:
        what: the fault in a sentence, as edgepipe then behaves.
        old: text that stands exactly once in all of edgepipe's files, so that a table of files need not follow moves.
        new: what stands there instead.
        killer: a test of the quick suite that fails then, in seconds.
    """

    what: str
    old: str
    new: str
    killer: str


MUTATIONS = (
    # What is found in the store.
    Mutation(
        "a cache key forgets the code of data/",
        'data = package_digest("data")',
        'data = ""',
        "tests/store/test_digests.py::test_any_changed_byte_of_data_is_another_key_of_every_pass",
    ),
    Mutation(
        "a stored entry whose record belongs to another artifact is taken",
        'if artifact.digest != record["digest"]:',
        "if not record:",
        "tests/store/test_store.py::test_an_artifact_that_is_not_the_recorded_one_is_a_miss",
    ),
    Mutation(
        "a damaged measurement is taken",
        "if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:",
        "if not sha256:",
        "tests/store/test_store.py::test_a_changed_byte_of_a_measurement_is_a_miss",
    ),
    Mutation(
        "a step is computed without its lock",
        "with self.locks.key(key, what):",
        "with suppress():",
        "tests/store/test_store.py::test_one_key_has_one_holder_and_the_other_is_told_what_it_waits_for",
    ),
    Mutation(
        "a file is written in place, and a reader sees half of it",
        'with replacing(path) as part:\n        part.write_text(text, encoding="utf-8")',
        'path.write_text(text, encoding="utf-8")',
        "tests/base/test_files.py::test_a_text_is_there_whole_or_not_at_all",
    ),
    # What is judged.
    Mutation(
        "a budget is judged by the better end of its estimate",
        "number = Number(by_name[name].high, COSTS[name])",
        "number = Number(by_name[name].low, COSTS[name])",
        "tests/rules/test_directions.py::test_a_budget_is_judged_by_the_worse_end_of_its_estimate",
    ),
    Mutation(
        "a goal is missed by being better than wanted",
        "return gain(self.value, wanted, self.better)",
        "return gain(wanted, self.value, self.better)",
        "tests/rules/test_directions.py::test_doubling_a_measure_moves_the_margin_of_its_goal_the_right_way",
    ),
    Mutation(
        "the gate lets a regression through and stops a gain",
        'return value - other if better == "higher" else other - value',
        'return other - value if better == "higher" else value - other',
        "tests/rules/test_directions.py::test_doubling_a_measure_moves_the_verdict_of_the_gate_the_right_way",
    ),
    Mutation(
        "a run with a failed step exits with 0",
        'return Outcome(metrics, 0 if metrics.status == "ok" else error_code)',
        "return Outcome(metrics, 0)",
        "tests/engine/test_run.py::test_a_failing_pass_exits_1_says_which_and_keeps_what_was_done",
    ),
    Mutation(
        "an int8 graph may answer otherwise on another processor",
        "if not proof.float_operators and not proof.identical:",
        "if not proof.examples:",
        "tests/verify/test_compare.py::test_a_last_bit_is_forgiven_in_float_and_not_in_int8",
    ),
    # What is measured.
    Mutation(
        "the interval of a drop counts all examples as answered wrongly by both",
        "newcombe(both, lost, won, neither)",
        "newcombe(both, lost, won, n)",
        "tests/tasks/test_classification.py::test_the_interval_of_a_drop_is_of_all_examples_once",
    ),
    Mutation(
        "the interval of a share is that of a tenth of the examples",
        "share, z2 = successes / trials, Z95 * Z95",
        "share, z2 = successes / trials, 10 * Z95 * Z95",
        "tests/tasks/test_intervals.py::test_wilson_of_857_in_1000_is_the_published_formula",
    ),
    Mutation(
        "agreement with the baseline is counted against the first class",
        'return np.asarray(answers["answers"] == baseline["answers"])',
        'return np.asarray(answers["answers"] == 0)',
        "tests/tasks/test_classification.py::test_agreement_is_with_the_baselines_answers_right_or_wrong",
    ),
    Mutation(
        "a dynamically quantized model is asked in batches",
        "alone = ranges_of_the_batch(model.graph.nodes)",
        "alone = False",
        "tests/measure/test_answers.py::test_a_first_few_of_one_range_do_not_hide_that_ranges_are_those_of_the_batch",
    ),
    # What comes in.
    Mutation(
        "calibration is drawn from evaluation",
        "Split.CALIBRATION: train.take(np.arange(settings.calibration_size))",
        "Split.CALIBRATION: evaluation.take(np.arange(settings.calibration_size))",
        "tests/data/test_digits.py::test_splits_are_disjoint_and_calibration_is_part_of_train",
    ),
    Mutation(
        "train may hold what is in evaluation",
        "known = set(evaluation[1])",
        "known = set[str]()",
        "tests/data/test_image_folder.py::test_overlap_is_an_error_that_names_both_sides",
    ),
    Mutation(
        "copies of a held-out picture stay in train",
        "np.fromiter((text in taken for text in hashes), bool, len(hashes))",
        "np.isin(np.arange(len(hashes)), chosen)",
        "tests/data/test_splits.py::test_held_out_content_is_never_in_train",
    ),
    Mutation(
        "pictures lie as the camera was held",
        "return picture if turn is None else picture.transpose(turn)",
        "return picture",
        "tests/data/test_decode.py::test_pictures_are_turned_as_the_camera_was_held",
    ),
    Mutation(
        "pictures are divided by the deviation before the mean is taken off",
        "found -= mean\n    found /= std",
        "found /= std\n    found -= mean",
        "tests/data/test_digits.py::test_pictures_are_resized_by_pillow_and_normalized",
    ),
    # What comes from outside.
    Mutation(
        "of two packages that declare one name the last one counts",
        "clash = first is not None and first.target != new.target",
        "clash = False",
        "tests/test_plugins.py::test_a_name_that_two_declare_is_an_error_that_names_both",
    ),
    Mutation(
        "a kit takes a task whose measure is better the wrong way",
        "loss >= -_NEAR * (1 + abs(better)),",
        "abs(loss) >= 0,",
        "tests/testing/test_tasks.py::test_a_broken_promise_is_told_with_the_method",
    ),
    Mutation(
        "a kit takes data whose splits overlap",
        "                not both,\n",
        "                both is not None,\n",
        "tests/testing/test_data.py::test_a_broken_promise_is_told_with_the_method",
    ),
    # What is refused.
    Mutation(
        "a stored file chooses what code runs",
        "if (factory, canonical_json(kwargs)) not in _TRUSTED:",
        "if not factory:",
        "tests/faults/test_trust.py::test_a_sealed_architecture_calls_only_the_factory_that_was_trusted",
    ),
    Mutation(
        "an archive may unpack to any size",
        "if unpacked <= max(MOST_UNPACKED, MOST_RATIO * packed):",
        "if unpacked >= 0:",
        "tests/faults/test_bombs.py::test_archives_that_unpack_to_a_multiple_of_their_size_are_refused",
    ),
    Mutation(
        "weights are read through a link out of the model's folder",
        "if not any(file.is_relative_to(home) for home in homes):",
        "if not homes:",
        "tests/onnx/test_external_data.py::test_a_link_out_of_a_downloaded_folder_is_refused_with_the_file",
    ),
    Mutation(
        "a password that a library says is recorded",
        'failure = failure.model_copy(update={"message": without_passwords(failure.message)})',
        "failure = failure.model_copy()",
        "tests/faults/test_secrets.py::test_what_a_library_says_is_recorded_without_it",
    ),
    Mutation(
        "a plan lets passes of torch follow ONNX",
        "if wants is not kind:",
        "if wants is None:",
        "tests/recipe/test_compose.py::test_torch_pass_after_an_onnx_pass_is_refused_before_any_work",
    ),
    Mutation(
        "a converted model is not compared with the one it was made from",
        "if share > tolerance:\n        for who, asked in",
        "if share < 0:\n        for who, asked in",
        "tests/torch/test_lower.py::test_another_model_is_no_matter_of_chance",
    ),
    # What passes write.
    Mutation(
        "integers wrap around where they should saturate",
        "return np.clip(rounded, info.min, info.max).astype(dtype)",
        "return rounded.astype(np.int64).astype(dtype)",
        "tests/quant/arithmetic/test_affine.py::test_quantize_and_dequantize_equal_onnx_runtime_bit_for_bit",
    ),
    Mutation(
        "zero is no integer of a range that does not hold it",
        "low, high = min(low, 0.0), max(high, 0.0)",
        "",
        "tests/quant/arithmetic/test_affine.py::test_activation_parameters_hold_zero_exactly_and_cover_the_range",
    ),
    Mutation(
        "pairs of weights saturate sums of 16 bits",
        "PAIR_LIMIT = 128\n",
        "PAIR_LIMIT = 160\n",
        "tests/quant/arithmetic/test_affine.py::test_pair_safe_weights_never_sum_beyond_sixteen_bits",
    ),
    Mutation(
        "the scales of weights are those of the channel before",
        "return best.astype(np.int8), best_scale",
        "return best.astype(np.int8), np.roll(best_scale, 1)",
        "tests/quant/arithmetic/test_affine.py::test_search_never_has_a_larger_error_than_no_search",
    ),
    Mutation(
        "scales per channel lie along the wrong axis of a matrix",
        'extra: dict[str, Any] = {"axis": axis} if self.per_channel else {}',
        'extra: dict[str, Any] = {"axis": 0} if self.per_channel else {}',
        "tests/quant/write/test_qdq.py::test_scales_of_a_matrix_lie_along_its_columns",
    ),
    Mutation(
        "channels are cut from the strongest down",
        "order = torch.sort(root.scores, stable=True).indices",
        "order = torch.sort(root.scores, stable=True, descending=True).indices",
        "tests/pruning/test_silenced.py::test_dead_channels_leave_without_a_trace_whatever_the_order_they_are_read_in",
    ),
)

COPIED = ("edgepipe", "tests", "recipes", "baselines", "benchmarks", "examples", "pyproject.toml")
"""What tests read of the repository."""


def file_of(mutation: Mutation) -> str:
    """The file that a mutation changes.

    Raises:
        LookupError: its text stands in none, or in several places.
    """
    found = [module for module in modules() for _ in range(text_of(module).count(mutation.old))]
    if len(found) != 1:
        where = f"in {', '.join(found)}" if found else "nowhere"
        raise LookupError(f"'{mutation.what}': its text stands {where}, and has to stand once: {mutation.old!r}")
    return found[0]


@contextmanager
def _copies(count: int) -> Iterator[SimpleQueue[Path]]:
    free: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        for number in range(count):
            copy = Path(folder, str(number))
            copy.mkdir()
            for name in COPIED:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
                elif (ROOT / name).is_file():
                    shutil.copy(ROOT / name, copy / name)
            free.put(copy)
        yield free


def _tests(copy: Path, killers: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # No bytecode: a file is changed and changed back within a second, which its cache does not see.
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *killers],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def survived(mutation: Mutation, copy: Path) -> str | None:
    """Why a mutation was not noticed in a copy of the source, in words; None: its test failed."""
    file = copy / file_of(mutation)
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        done = _tests(copy, [mutation.killer])
    finally:
        file.write_text(sound, encoding="utf-8")
    if done.returncode == 1:  # tests ran and failed; others say that none ran
        return None
    return "its test passes" if done.returncode == 0 else f"its test did not run: {done.stdout[-2000:]}{done.stderr}"


def main(words: Sequence[str]) -> int:
    """Make each mutation, two at a time; 1 when one is not noticed, or a test fails without any."""
    chosen = [item for item in MUTATIONS if not words or any(word in item.what for word in words)]
    began = time.monotonic()
    with _copies(2) as free, ThreadPoolExecutor(2) as pool:

        def tried(mutation: Mutation) -> str | None:
            copy = free.get()
            try:
                return survived(mutation, copy)
            finally:
                free.put(copy)

        copy = free.get()
        sound = _tests(copy, sorted({item.killer for item in chosen}))
        free.put(copy)
        if sound.returncode != 0:
            print(f"the tests fail without any mutation:\n{sound.stdout[-4000:]}{sound.stderr}", file=sys.stderr)
            return 1
        bad = 0
        for mutation, why in zip(chosen, pool.map(tried, chosen), strict=True):
            print(f"{'killed' if why is None else 'SURVIVED'}: {mutation.what} ({file_of(mutation)})", flush=True)
            if why is not None:
                bad += 1
                print(f"  {mutation.killer}: {why}", file=sys.stderr)
    print(f"{len(chosen) - bad} of {len(chosen)} mutations killed in {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
