"""Sets up a checkout on a node without a network: `python3 -m tools.gpu_node .venv-gpu wheels`.

The environment sees the packages of the Python that runs this script, and before them the wheels that `make wheels`
gathered elsewhere. Nothing but the standard library and pip is needed here.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def set_up(folder: Path, wheels: Path) -> Path:
    """Make the environment if it is not there; returns its Python.

    Raises:
        CalledProcessError: if pip cannot install something, which it has said.
    """
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return python
    venv.create(folder, with_pip=False, symlinks=True, clear=True)  # nodes often lack what venv makes pip of
    (inside,) = folder.glob("lib/python*/site-packages")
    behind = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (inside / "behind.pth").write_text("\n".join(behind) + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    flags = ["--quiet", "--no-index", "--no-deps"]
    gathered = sorted(map(str, wheels.glob("*.whl")))
    if gathered:
        # Older releases that lie behind are not of this environment: they stay, and are not seen.
        subprocess.run([*install, *flags, "--ignore-installed", *gathered], check=True)
    subprocess.run([*install, *flags, "--no-build-isolation", "--editable", str(ROOT)], check=True)
    (folder / "installed").touch()
    return python


def main() -> None:
    """Set up, and say what is there."""
    folder, wheels = map(Path, sys.argv[1:])
    python = set_up(folder, wheels)
    subprocess.run([python, "-m", "crosspoint.cli", "doctor"], check=True)


if __name__ == "__main__":
    main()
