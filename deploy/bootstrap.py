"""Make .venv and install the pinned requirements into it, once, and again when they change. Needs Python 3.11 only.

    python3 deploy/bootstrap.py requirements.txt [requirements-dev.txt]
"""

import subprocess
import sys
from pathlib import Path

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"


def main(names: list[str]) -> None:
    """Bring .venv up to date, or end with one sentence that says what is in the way."""
    if sys.version_info < (3, 11):
        sys.exit(f"Copydesk needs Python 3.11 or newer; this is {sys.version.split()[0]}. Install one.")
    try:
        if not is_sound():
            print("Making .venv ...", flush=True)
            make()
        for name in names:
            install(Path(name))
    except OSError as error:
        sys.exit(f"The folder {Path.cwd()} cannot be written to ({error.strerror}); use a folder that is yours.")


def is_sound() -> bool:
    """Say whether .venv has a Python that runs; one that was removed or replaced leaves a broken link."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0


def make() -> None:
    """Make .venv afresh."""
    VENV.mkdir(exist_ok=True)
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines() or ["no reason given"]
        sys.exit(f"Python cannot make a virtual environment ({reason[0]}); on Debian and Ubuntu, install python3-venv.")


def install(requirements: Path) -> None:
    """Install one file's pins, unless that very file was installed last time."""
    stamp = VENV / f"installed-{requirements.name}"
    if stamp.exists() and stamp.read_bytes() == requirements.read_bytes():
        return
    print(f"Installing {requirements} (once, about a minute) ...", flush=True)
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
               "-r", requirements]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reasons = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        sys.exit(f"{requirements} could not be installed. Mend what pip says and try again: {reasons[-1]}")
    stamp.write_bytes(requirements.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
