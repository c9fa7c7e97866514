"""Conformance kits: one line tells the author of a noun whether it keeps its contract.

    def test_my_task() -> None:
        check_task(MyTask)

A class or an instance; what must be given to make one is an instance's. Each kit runs the contract on toy models made
on the fly, and raises `Broken`, an AssertionError whose sentence names the method.
"""

from edgepipe.testing.broken import Broken
from edgepipe.testing.data import check_data
from edgepipe.testing.formats import check_format
from edgepipe.testing.passes import check_pass
from edgepipe.testing.places import check_place
from edgepipe.testing.sources import check_source
from edgepipe.testing.tasks import check_task

__all__ = [
    "Broken",
    "check_data",
    "check_format",
    "check_pass",
    "check_place",
    "check_source",
    "check_task",
]
