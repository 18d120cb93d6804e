"""Where shards are made: in this process, or in worker processes that are told shard numbers over a pipe.

Workers are plain `python -m synthray.dataset.pool` processes. They need no guard in the user's script, inherit no
threads or locks, and end by themselves when the process that started them is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthray.dataset.recipe import Recipe
from synthray.dataset.work import Work
from synthray.errors import InputError, SynthrayError, SynthrayWarning

ATTEMPTS = 3
_OUT_OF_MEMORY = 137
Finished = Iterator[tuple[int, dict[str, Any]]]


def run_here(recipe: Recipe, folder: Path, shards: list[int]) -> Finished:
    """Make shards one after the other in this process."""
    from synthray.dataset.make import ShardMaker

    maker, work = ShardMaker(recipe, folder, threads=None), Work(recipe, shards)
    shard = work.take(None)
    while shard is not None:
        yield shard, maker.make(shard)
        shard = work.take(shard)


def run_in_processes(recipe: Recipe, folder: Path, shards: list[int], workers: int) -> Finished:
    """Make shards in worker processes; yields each as it is finished, in any order.

    Raises:
        InputError: a worker met wrong input.
        SynthrayError: a worker died several times over the same shard, or there is a fault in synthray.
    """
    work = Work(recipe, shards)
    results: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    crew = [_Worker(folder, work, results) for _ in range(workers)]
    warned = set[str]()
    try:
        for worker in crew:
            worker.thread.start()
        for _ in shards:
            kind, content = results.get()
            while kind == "warning":
                if content not in warned:
                    warned.add(content)
                    warnings.warn(content, SynthrayWarning, stacklevel=2)
                kind, content = results.get()
            if kind == "error":
                raise content
            yield content
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """One worker process and the thread that feeds it; a process that dies is replaced and its shard tried again."""

    def __init__(self, folder: Path, work: Work, results: queue.SimpleQueue[tuple[str, Any]]) -> None:
        self._folder, self._work, self._results = folder, work, results
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._feed, daemon=True)

    def stop(self) -> None:
        """End the process and its thread, and sweep up what it left half-written."""
        self._stopped.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self.thread.ident is not None:
            self.thread.join()
        if self._process is not None:
            _close_pipes(self._process)
            for leftover in self._folder.glob(f".*.{self._process.pid}.part"):
                leftover.unlink(missing_ok=True)

    def _feed(self) -> None:
        shard = self._work.take(None)
        while shard is not None and not self._stopped.is_set():
            try:
                self._results.put(("done", (shard, self._make(shard))))
            except SynthrayError as error:
                self._results.put(("error", error))
                break
            shard = self._work.take(shard)

    def _make(self, shard: int) -> dict[str, Any]:
        code: int | None = None
        for _ in range(ATTEMPTS):
            process = self._running()
            answer = self._ask(process, shard)
            if answer is not None:
                return answer
            if self._stopped.is_set():
                break
            code = process.wait()
            _close_pipes(process)
            self._process = None
        raise SynthrayError(
            f"a worker died {ATTEMPTS} times over shard {shard} (exit code {code}); it may have run out of memory: "
            "try fewer --workers; what was finished is kept"
        )

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", "synthray.dataset.pool", str(self._folder)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        return self._process

    def _ask(self, process: subprocess.Popen[str], shard: int) -> dict[str, Any] | None:
        """The worker's answer; None when it died."""
        if process.stdin is None or process.stdout is None:
            return None
        try:
            process.stdin.write(f"{shard}\n")
            process.stdin.flush()
        except OSError:
            return None
        for line in process.stdout:
            answer = json.loads(line)
            if "warning" in answer:
                self._results.put(("warning", answer["warning"]))
            elif "wrong" in answer:
                raise InputError(answer["wrong"])
            elif "fault" in answer:
                raise SynthrayError(answer["fault"])
            else:
                return answer
        return None


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # The far end may be gone with something still in the buffer.
            with contextlib.suppress(OSError):
                pipe.close()


def described(error: Exception) -> str:
    """A fault in one line: what, and where in the code."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}; what was finished is kept"


def _serve(folder: Path) -> None:
    """A worker's life: read shard numbers from standard input, make them, answer in JSON lines."""
    from synthray.dataset.layout import read_recipe
    from synthray.dataset.make import ShardMaker

    # Whatever else prints goes to standard error; the pipe carries answers only.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        pipe.write(json.dumps(content) + "\n")
        pipe.flush()

    maker: ShardMaker | None = None
    for line in sys.stdin:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SynthrayWarning)
            try:
                maker = maker or ShardMaker(read_recipe(folder)[0], folder, threads=1)
                result = maker.make(int(line))
            except InputError as error:
                answer(wrong=str(error))
                return
            except (MemoryError, KeyboardInterrupt):
                # Ended as by the kernel's memory killer: tried again, then given up with advice. (A worker gets no
                # Ctrl-C; OpenBLAS interrupts itself when it can't allocate.)
                os._exit(_OUT_OF_MEMORY)
            except Exception as error:  # a fault of ours or of a library: one line instead of a worker's traceback
                answer(fault=f"shard {line.strip()}: {described(error)}")
                return
        for warning in caught:
            if issubclass(warning.category, SynthrayWarning):
                answer(warning=str(warning.message))
        answer(**result)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
