"""Where a run was made: device, versions, and the commit of the code."""

import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

CHANGED = "+changes"  # behind a commit: the code was not the commit's
PACKAGE = Path(__file__).resolve().parents[1]


def provenance(device: torch.device) -> dict[str, Any]:
    """Say where a run was made: device, versions, and the commit of the code (`code`)."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": code(),
    }


@cache
def code() -> str | None:
    """Give the commit of this package's code, marked if it was changed, as it was when this process first asked.

    The process goes on with what it has loaded, whatever is edited or committed meanwhile. None where the package is
    no part of a repository, or of somebody else's.
    """

    def git(*words: str) -> str:
        try:
            answer = subprocess.run(["git", *words], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
        except OSError:  # there is no git
            return ""
        return answer.stdout.strip() if answer.returncode == 0 else ""

    tracked = git("ls-files", "--", f"{PACKAGE.name}/__init__.py")
    commit = git("rev-parse", "--short=12", "HEAD") if tracked else ""
    changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", PACKAGE.name))
    return commit + (CHANGED if changed else "") if commit else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
