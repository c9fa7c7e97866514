"""`python -m tests.rules`: the lists of exceptions anew, where none of them becomes longer."""

from __future__ import annotations

from tests.rules import exceptions, test_by_name, test_knowledge, test_mirrored, test_size

FOUND = {
    "by_name": test_by_name.found,
    "graphs": test_knowledge.graphs,
    "measures": test_knowledge.measures,
    "unmirrored": test_mirrored.found,
    "long": test_size.found,
}

if __name__ == "__main__":
    for rule, look in FOUND.items():
        print(exceptions.write(rule, look()))
