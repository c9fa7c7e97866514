"""`python -m tests.docs`: write every generated page of the documentation anew."""

from __future__ import annotations

from tests.docs.generated import pages, stale

if __name__ == "__main__":
    made = pages()
    for path, text in made.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")
    for path in stale(made):
        path.unlink()
        print(f"removed: {path}")
