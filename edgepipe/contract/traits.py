"""Traits: what is known of a model before anything runs, by the passes that it has come through.

A trait is a word. A pass says which ones it requires, provides and removes; the plan adds them up from step to step
and refuses a step whose model cannot have what it requires. A third party may use words of its own; a pass that
declares none takes every model of its kind, and leaves the traits as they are.

What `provides` names is looked for in the result: the files, weights of 8 bits or fewer, of float16, masks. A pass that
found nothing to do says so in the fact `notes` (`job.add("notes", …)`); without a word a promise is broken.
"""

from __future__ import annotations

FLOAT = "float"
"""It computes in float32 wherever it multiplies, and its weights can be quantized. Every model is loaded as one."""
INT8 = "int8"
"""Weights of matrix products or convolutions are whole numbers of 8 bits or fewer."""
HALF = "half"
"""Weights are stored as float16."""
SPARSE = "sparse"
"""Single weights were set to zero."""
MASKED = "masked"
"""Masks keep these weights at zero while the network is trained."""
LATENCY_TABLE = "latency_table"
"""The artifact holds a table of what layers take at several widths."""
INT8_TIMES = "int8_times"
"""The artifact holds the times of int8 placements."""

FILES = {LATENCY_TABLE: "latency_table.json", INT8_TIMES: "int8_times.json"}
"""The file of an artifact that a trait speaks of."""
BESIDE = frozenset(FILES)
"""Files beside the model that describe this very model: the next step leaves them behind."""
