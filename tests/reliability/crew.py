"""The parent's side of the worker: gives it cases, and ends it when one takes too long or kills it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

from hostile import FAMILIES, Case, Verdict

TIMEOUT_S = 20.0
START_S = 90.0


class Crew:
    """One worker process, replaced when a case hangs or kills it."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def verdicts(self, family: str) -> list[tuple[Case, Verdict]]:
        """What comes of every case of a family."""
        cases = list(FAMILIES[family](range(self._seeds)))
        return [(case, self._judge(family, number)) for number, case in enumerate(cases)]

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _judge(self, family: str, number: int) -> Verdict:
        patience = TIMEOUT_S if self._process is not None else START_S
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps([family, self._seeds, number]) + "\n")
        process.stdin.flush()
        try:
            line = self._answers.get(timeout=patience)
        except queue.Empty:
            self.close()
            return Verdict("hang", f"no answer within {patience:.0f} s")
        if line is None:
            code = process.wait()
            self._process = None
            return Verdict("died", f"the worker ended with code {code}")
        return Verdict(**json.loads(line))

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            script = Path(__file__).with_name("worker.py")
            self._process = subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._answers = queue.SimpleQueue()
            threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        return self._process


def _listen(process: subprocess.Popen[str], answers: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put(None)


def wrong(found: list[tuple[Case, Verdict]]) -> list[str]:
    """A line for each case whose outcome is not right."""
    return [
        f"{case.name} -> {verdict.outcome}, expected {' or '.join(sorted(case.allowed))}: {verdict.message[:200]}"
        for case, verdict in found
        if verdict.outcome not in case.allowed
    ]
