"""Finished runs into MLflow: settings, metrics of every step, learning curves and artifacts.

A pure reader of a run's folder, like the report: nothing is tracked while the run computes, so a server that
is away costs a note and never a run, and `edgepipe track RUN` does the same later. MLflow is imported only here,
and only when a run asks for it.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import importlib.util
import json
import logging
import math
import os
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from edgepipe import __version__
from edgepipe.base.files import is_file, is_folder, is_there, read_json, write_text
from edgepipe.base.text import shown, without_passwords
from edgepipe.contract.settings import at_home
from edgepipe.engine.hooks import Hook
from edgepipe.errors import EdgepipeError, InputError
from edgepipe.recipe.files import read_yaml
from edgepipe.recipe.schema import Tracking
from edgepipe.records.figures import ALIKE, COSTS, numbers
from edgepipe.records.metrics import Metrics, StepRecord, read_metrics
from edgepipe.records.quality import TaskRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKED = "tracking.json"
"""In a run's folder, once it is logged: where, and under which id."""
DEFAULT_DATABASE = "outputs/mlflow.db"
_SQLITE = "sqlite:///"
_LOCK_SECONDS = 60
_AGAIN = "The run is whole; log it again with `edgepipe track RUN`"
_FILES = ("metrics.json", "recipe.yaml", "overrides.yaml", "report.html", "edgepipe.log")
_RUN_STATES = {"ok": "FINISHED", "missed_goal": "FINISHED", "failed": "FAILED"}
_ANSWER_SECONDS = 3.0
_BATCH = 100  # parameters that MLflow takes in one call
_NAME_LENGTH, _VALUE_LENGTH, _TAG_LENGTH = 250, 6000, 5000


class TrackingError(EdgepipeError):
    """A run could not be logged. The run itself is whole."""


def require_mlflow() -> None:
    """Raise before any work is done, where tracking was asked for and cannot be.

    Raises:
        InputError: MLflow is not installed; names the extra.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise InputError(
            "tracking: MLflow is not installed: pip install 'edgepipe[tracking]', or leave tracking=mlflow out"
        )


def place(tracking: Tracking) -> str:
    """The tracking URI: the recipe's, else $MLFLOW_TRACKING_URI, else an SQLite file; its path made absolute."""
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_DATABASE}"
    scheme, _, path = uri.partition(":///")
    if scheme != "sqlite" or not path:
        return uri
    file = Path(at_home(path)).absolute().as_posix()
    for sign in "%?#":  # would be read as another character, or end the file's name
        file = file.replace(sign, urllib.parse.quote(sign))
    return f"{_SQLITE}{file}"


def _database(uri: str) -> Path | None:
    """The file of a `place` that is an SQLite one."""
    return Path(urllib.parse.unquote(uri.removeprefix(_SQLITE))) if uri.startswith(_SQLITE) else None


def unanswered(tracking: Tracking) -> str | None:
    """What is wrong with a server, in a sentence, before a long run begins; None where it takes connections."""
    server = urllib.parse.urlsplit(place(tracking))
    if server.scheme not in ("http", "https") or server.hostname is None:
        return None
    why = _silence(server)
    if why is None:
        return None
    return (
        f"tracking: {_address(server)} does not answer ({why}). "
        "The run goes on; if it stays away, log the run later with `edgepipe track RUN`"
    )


def _address(server: urllib.parse.SplitResult) -> str:
    """A server without the name and password that its address may carry."""
    return f"{server.scheme}://{server.netloc.rpartition('@')[2]}"


def _silence(server: urllib.parse.SplitResult) -> str | None:
    """Why a server gives no answer of HTTP; None where it gives any, also one that refuses. At most seconds."""
    found: list[str | None] = [f"no answer in {_ANSWER_SECONDS:g} s"]

    def ask() -> None:
        try:
            urllib.request.urlopen(f"{_address(server)}/health", timeout=_ANSWER_SECONDS).close()
            found[0] = None
        except urllib.error.HTTPError as error:
            error.close()
            found[0] = None
        except urllib.error.URLError as error:
            reason = error.reason
            away = isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError)
            found[0] = str(getattr(reason, "strerror", None) or reason) if away else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            found[0] = str(getattr(error, "strerror", None) or error)

    # The search for a host's address knows no time limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * _ANSWER_SECONDS)
    return found[0]


def track(run: Path, tracking: Tracking, *, sweep: str | None = None) -> str:
    """Log a finished run's folder and remember where in `tracking.json`; a run is logged once per place.

    Returns:
        The id of MLflow's run.
    Raises:
        TrackingError: MLflow or its server failed; nothing of the run is lost.
        InputError: the folder holds no run, or MLflow is not installed.
    """
    metrics = read_metrics(run)
    uri = place(tracking)
    known = _tracked(run)
    if known is not None and known["uri"] == shown(uri):
        return str(known["run_id"])
    with _client(uri) as client:
        experiment = _experiment(client, tracking.experiment, uri)
        started = datetime.datetime.fromisoformat(metrics.started)
        start_ms = int(started.timestamp() * 1000)
        end_ms = start_ms + int(metrics.seconds * 1000)
        made = client.create_run(
            experiment, start_time=start_ms, run_name=_name(metrics, run), tags=_tags(metrics, run, sweep)
        )
        run_id = str(made.info.run_id)
        try:
            _log(client, run_id, metrics, run, end_ms, tracking)
        except Exception:
            if unanswered(tracking) is None:
                with contextlib.suppress(Exception):  # half a run would look like a whole one
                    client.set_terminated(run_id, "FAILED", end_ms)
                    client.delete_run(run_id)
            raise
        client.set_terminated(run_id, _state(metrics), end_ms)
    # Kept beside the run; a folder that cannot be written any more only costs the memory of it.
    with contextlib.suppress(OSError):
        write_text(
            run / TRACKED, json.dumps({"uri": shown(uri), "experiment_id": experiment, "run_id": run_id}, indent=1)
        )
    return run_id


class Tracked(Hook):
    """Logs a run at its end. What fails here must not fail a run that is finished, so it is kept to be told.

    Attributes:
        sweep: folder of the sweep that the run belongs to, or None. An interrupted run of a sweep is not logged.
        run_id: of the logged run; None: there is none.
        problem: why there is none, in a sentence; None: nothing went wrong.
    """

    def __init__(self, settings: Tracking, sweep: str | None) -> None:
        self.settings, self.sweep = settings, sweep
        self.run_id: str | None = None
        self.problem: str | None = None

    def ended(self, metrics: Metrics, folder: Path) -> None:
        if self.sweep is not None and _state(metrics) == "KILLED":
            return
        try:
            self.run_id = track(folder, self.settings, sweep=self.sweep)
        except EdgepipeError as error:
            self.problem = str(error)


def track_sweep(folder: Path, tracking: Tracking, children: list[str]) -> str:
    """Log a sweep's summary as one parent run and put the runs of its jobs below it.

    Raises:
        TrackingError: as for `track`.
    """
    uri = place(tracking)
    with _client(uri) as client:
        experiment = _experiment(client, tracking.experiment, uri)
        tags = {"edgepipe.kind": "sweep", "edgepipe.sweep": str(folder), "edgepipe.version": __version__}
        parent = str(client.create_run(experiment, run_name=f"sweep {folder.name}", tags=tags).info.run_id)
        for name in ("sweep.json", "sweep.csv", "sweep.md", "sweep.html"):
            if is_file(folder / name):
                client.log_artifact(parent, str(folder / name))
        for child in children:
            client.set_tag(child, "mlflow.parentRunId", parent)
        client.set_terminated(parent, "FINISHED")
    return parent


@contextlib.contextmanager
def _client(uri: str) -> Iterator[MlflowClient]:
    """A client whose failures are `TrackingError`s; one process at a time on an SQLite file.

    A server that is away is given up after seconds: MLflow's own patience would hold a finished run for minutes.
    """
    require_mlflow()
    server = urllib.parse.urlsplit(uri)
    why = _silence(server) if server.scheme in ("http", "https") and server.hostname else None
    if why is not None:
        raise TrackingError(f"tracking: {_address(server)} does not answer ({why}). {_AGAIN}")
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with contextlib.ExitStack() as held:
        try:
            from mlflow import MlflowClient

            database = _database(uri)
            if database is not None:
                if is_folder(database):
                    raise TrackingError(f"tracking.uri: {shown(uri)}: a folder, and no SQLite file. {_AGAIN}")
                database.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(f"{database}.lock", timeout=_LOCK_SECONDS))
                held.enter_context(_no_empty_twin(uri))
            yield MlflowClient(tracking_uri=uri)
        except EdgepipeError:
            raise
        except Exception as error:  # MLflow raises its own, requests', sqlalchemy's and alembic's errors
            said = without_passwords((str(error).strip().splitlines() or [""])[0])[:300]
            raise TrackingError(f"tracking: {shown(uri)}: {type(error).__name__}: {said}. {_AGAIN}") from error


@contextlib.contextmanager
def _no_empty_twin(uri: str) -> Iterator[None]:
    """MLflow makes the folder of an SQLite file, and reads its address without undoing `%3F`: an empty `a%3F/`."""
    folder = Path(uri.removeprefix(_SQLITE)).parent
    missing = [path for path in (folder, *folder.parents) if not is_there(path)]
    try:
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):  # somebody put something there
                path.rmdir()


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    """The id of an experiment, made where there is none; two processes may make it at once."""
    for last in (False, True):
        found = client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise TrackingError(
                    f"tracking.experiment: '{name}' was deleted in MLflow. Restore it or name another one"
                )
            return str(found.experiment_id)
        # MLflow would put the artifacts of an SQLite store below the folder that happens to be current.
        database = _database(uri)
        try:
            beside = None if database is None else database.with_name("mlartifacts").as_uri()
            return str(client.create_experiment(name, beside))
        except Exception:
            if last:
                raise
    raise AssertionError("unreachable")


def _tracked(run: Path) -> dict[str, Any] | None:
    try:
        content = read_json((run if is_folder(run) else run.parent) / TRACKED)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and {"uri", "run_id"} <= set(content) else None


def _own(overrides: list[str]) -> list[str]:
    """The overrides that say what a run is, not where it runs; those of passes first, for names are cut off."""
    apart = ("recipe=", "hydra", "store.", "tracking")
    own = [item for item in overrides if not item.lstrip("+~").startswith(apart)]
    return sorted(own, key=lambda item: not item.lstrip("+~").startswith("passes"))


def _name(metrics: Metrics, run: Path) -> str:
    own = " ".join(_own(metrics.overrides))
    return f"{metrics.recipe} {own}"[:_NAME_LENGTH] if own else f"{metrics.recipe} {run.name}"


def _state(metrics: Metrics) -> str:
    interrupted = metrics.failure is not None and metrics.failure.error == "KeyboardInterrupt"
    return "KILLED" if interrupted else _RUN_STATES[metrics.status]


def _tags(metrics: Metrics, run: Path, sweep: str | None) -> dict[str, str]:
    tags = {
        "edgepipe.version": metrics.environment.edgepipe,
        "edgepipe.recipe": metrics.recipe,
        "edgepipe.recipe_sha256": metrics.inputs.recipe,
        "edgepipe.status": metrics.status,
        "edgepipe.folder": str(run.absolute()),
        "edgepipe.cpu": metrics.environment.cpu,
        "edgepipe.instruction_sets": ", ".join(metrics.environment.instruction_sets),
        "edgepipe.steps": ", ".join(f"{index}={step.label}" for index, step in enumerate(metrics.passes)),
        "edgepipe.sweep": sweep or "",
        "edgepipe.failed_step": (metrics.failure.step or "") if metrics.failure else "",
        "edgepipe.failure": metrics.failure.message if metrics.failure else "",
    }
    return {key: value[:_TAG_LENGTH] for key, value in tags.items() if value}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A recipe's settings as (dotted name, text)."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif value is not None and value != "":
        yield name[:_NAME_LENGTH], (value if isinstance(value, str) else json.dumps(value))[:_VALUE_LENGTH]


def _settings(run: Path) -> dict[str, str]:
    try:
        content = read_yaml(run / "recipe.yaml")
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    plain = content if isinstance(content, dict) else {}
    return dict(
        _leaves({key: value for key, value in plain.items() if key not in ("tracking", "store", "description")})
    )


def _values(step: StepRecord, task: TaskRecord | None) -> Iterator[tuple[str, float]]:
    """Every number of a step that can be compared between runs; what its task measures is `quality/NAME`."""
    for name, number in numbers(task, step.measurements, step.versus_baseline).items():
        if name not in COSTS and name != ALIKE:
            yield f"quality/{name}", number.value
    for part in (step.measurements, step.versus_baseline):
        for name, value in (part.model_dump(mode="json") if part is not None else {}).items():
            if name == "int8_share":
                yield from ((f"int8_share.{kind}", share) for kind, share in value.items() if share is not None)
            elif isinstance(value, (int, float)):
                yield name, float(value)
    yield "seconds", step.seconds


def _log(client: MlflowClient, run_id: str, metrics: Metrics, run: Path, end_ms: int, tracking: Tracking) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(key, value) for key, value in _settings(run).items()]
    for first in range(0, len(params), _BATCH):
        client.log_batch(run_id, params=params[first : first + _BATCH])
    found: list[Metric] = []
    for index, step in enumerate(metrics.passes):
        for name, value in _values(step, metrics.task) if step.status == "ok" else ():
            if math.isfinite(value):
                # Under its own name over the steps, whose last value is the final model's; and under the step's.
                found += [Metric(name, value, end_ms, index), Metric(f"{step.label}/{name}", value, end_ms, 0)]
        found += [Metric(f"{step.label}/curve/{name}", value, end_ms, epoch) for name, epoch, value in _curve(step)]
    for goal in metrics.goal:
        if goal.margin is not None:
            found.append(Metric(f"goal/{goal.name}_margin", goal.margin, end_ms, 0))
    for first in range(0, len(found), 10 * _BATCH):
        client.log_batch(run_id, metrics=found[first : first + 10 * _BATCH])
    for name in _FILES:
        if is_file(run / name):
            client.log_artifact(run_id, str(run / name))
    if tracking.log_model and is_folder(run / "final"):
        client.log_artifacts(run_id, str(run / "final"), "final")


def _curve(step: StepRecord) -> Iterator[tuple[str, int, float]]:
    """(name, epoch, value) of a step's learning curve."""
    curve = step.facts.get("curve")
    for number, point in enumerate(curve if isinstance(curve, list) else ()):
        for name, value in point.items() if isinstance(point, dict) else ():
            if name != "epoch" and isinstance(value, (int, float)) and math.isfinite(value):
                yield name, number + 1, float(value)
