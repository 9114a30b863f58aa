#!/usr/bin/env python3
"""Tells whether console/dist was built from the sources that lie beside it.

    sources.py --write    notes what the built page was made of; part of `make console`
    sources.py            fails when it was made of something else
"""

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOTE = FOLDER / "dist" / "sources.sha256"
SOURCES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src", "public"]
BUILT = ["index.html", "icon.svg", "assets/app.js", "assets/app.css"]


def files(folder: Path, names: list[str]) -> list[Path]:
    found = [path for name in names for path in ([folder / name] if (folder / name).is_file() else (folder / name).rglob("*"))]
    return sorted(path for path in found if path.is_file())


def digest(paths: list[Path]) -> str:
    hasher = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        hasher.update(f"{path.relative_to(FOLDER).as_posix()} {len(content)}\n".encode() + content)
    return hasher.hexdigest()


def main() -> int:
    # The built files count as well: nobody edits them by hand.
    now = f"sources {digest(files(FOLDER, SOURCES))}\nbuilt {digest(files(FOLDER / 'dist', BUILT))}\n"
    if sys.argv[1:] == ["--write"]:
        NOTE.write_text(now)
        return 0
    if NOTE.is_file() and NOTE.read_text() == now:
        return 0
    print("console/dist was not built from console/src as it is: run `make console`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
