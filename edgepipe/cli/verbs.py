"""The verbs of the command line: a module each, imported when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable

HELP = """edgepipe: declarative, verified compression of neural networks for small devices

Begin with what you have:
  edgepipe compress MODEL --data PLACE        a recipe made for it, run at once, to a bundle you can deploy
  edgepipe new MODEL --data PLACE             only the recipe, to be read and changed first

Run a recipe:
  edgepipe recipe=NAME [key=value ...]        run recipes/NAME.yaml (or a path to a .yaml file)
  edgepipe -m recipe=NAME key=a,b,c           sweep: one run per value, one summary at the end
  edgepipe recipe=NAME --cfg job              print the composed recipe

  edgepipe search recipe=NAME KEY=a,b ...     sample settings, cheap trials first; the best recipe as YAML

Look before you run:
  edgepipe plan recipe=NAME [key=value ...]   the typed steps, and every problem found
  edgepipe list WHAT [NAME]                   passes|tasks|data|models|formats|places|recipes|targets
  edgepipe sensitivity recipe=NAME ...        what each layer alone costs in int8, or pruned with --prune RATIO
  edgepipe doctor                             versions, CPU instruction sets, what extras are missing

After a run:
  edgepipe check RUN --baseline FILE          the regression gate for CI
  edgepipe verify RUN --on x86_avx2,arm64     run the deployed file on other processors and runtimes
  edgepipe targets                            what verification needs here; targets install arm64|browser_wasm
  edgepipe bundle verify|serve RUN            check what is deployed; try it in a browser
  edgepipe device run ssh://USER@HOST RUN     copy it to a device, check and time it there
  edgepipe accept RUN --baseline FILE         write or update the baseline
  edgepipe compare RUN RUN ... [--out DIR]    one page over several runs
  edgepipe report RUN                         write report.html again from metrics.json
  edgepipe explain RUN                        for each step, why it was reused or computed
  edgepipe track RUN ...                      log finished runs to MLflow, as tracking=mlflow does
  edgepipe store ls|verify|gc                 look after the stored steps
  edgepipe schema                             JSON Schema of metrics.json

Exit codes: 0 good, 1 a pass, goal or check failed, 2 a bad recipe or command line.
Start here: edgepipe recipe=resnet18_int8
"""

VERBS = {
    "new": "edgepipe.cli.new:main_new",
    "compress": "edgepipe.cli.compress:main_compress",
    "plan": "edgepipe.cli.plan:main_plan",
    "list": "edgepipe.cli.list:main_list",
    "doctor": "edgepipe.cli.doctor:main_doctor",
    "check": "edgepipe.cli.check:main_check",
    "accept": "edgepipe.cli.accept:main_accept",
    "compare": "edgepipe.cli.compare:main_compare",
    "report": "edgepipe.cli.report:main_report",
    "search": "edgepipe.cli.search:main_search",
    "sensitivity": "edgepipe.cli.sensitivity:main_sensitivity",
    "explain": "edgepipe.cli.explain:main_explain",
    "store": "edgepipe.cli.store:main_store",
    "verify": "edgepipe.cli.verify:main_verify",
    "targets": "edgepipe.cli.targets:main_targets",
    "bundle": "edgepipe.cli.bundle:main_bundle",
    "device": "edgepipe.cli.device:main_device",
    "track": "edgepipe.cli.track:main_track",
    "schema": "edgepipe.cli.schema:main_schema",
}
"""Verb: `module:function`; the function takes the arguments after the verb and returns the exit code."""

WITHOUT_OPTIONS = ("plan", "list", "doctor", "schema")
"""Verbs whose whole help is the page above; the others have options of their own to explain."""


def verb(name: str) -> Callable[[list[str]], int]:
    """What runs a verb."""
    module, _, function = VERBS[name].partition(":")
    found: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return found
