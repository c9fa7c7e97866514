"""`edgepipe schema`: the JSON Schema of metrics.json."""

from __future__ import annotations

import json
import sys

from edgepipe.cli.arguments import nothing_more


def main_schema(argv: list[str]) -> int:
    """`edgepipe schema`: the JSON Schema of metrics.json."""
    nothing_more("schema", argv)
    from edgepipe.records.metrics import Metrics

    sys.stdout.write(json.dumps(Metrics.model_json_schema(), indent=1) + "\n")
    return 0
