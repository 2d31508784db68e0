"""A program of users goes on with one import line changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "seed_style.py"
SEED = Path(__file__).parents[3] / "tests" / "fixtures" / "event_model.py"


def output(folder: Path, text: str) -> str:
    (folder / "program.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_program_runs_on_with_its_import_line_changed(tmp_path: Path) -> None:
    (tmp_path / "event_model.py").write_text(SEED.read_text())
    program = PROGRAM.read_text()
    changed = program.replace("from event_model import", "from spacefold.event_model import")
    assert sum(a != b for a, b in zip(program.splitlines(), changed.splitlines(), strict=True)) == 1
    before, after = output(tmp_path, program), output(tmp_path, changed)
    assert before == after and before.count("\n") == 11
