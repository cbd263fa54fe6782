"""`python -m tests.fuzz [SECONDS] [DOOR...]`: mutates what comes to each door, guided by what code that reaches.

The fuzzer is atheris, on libFuzzer: it instruments `triggers`, and keeps what reaches something new in `.fuzz/DOOR`,
from where it goes on the next time. It ends a door at the first input that is neither taken nor refused, or takes more
than half a second or 512 MB, and leaves that input in `.fuzz`; `python -m tests.fuzz --show FILE` shows what it does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

KEPT = Path(".fuzz")
LONGEST = 8192
"""Bytes of an input at most."""
MEGABYTES = 512
SECONDS = 60


def fuzz(name: str, seconds: int) -> None:
    """Fuzz a door in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["triggers"]):
        from tests.fuzz.doors import DOORS, knock
    from tests.fuzz.seeds import FOUND, PIECES, SEEDS

    corpus, words = KEPT / name, KEPT / f"{name}.words"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in (*SEEDS[name], *FOUND.get(name, ())):
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words.write_text("".join(map(_word, PIECES)))
    options = {
        "max_total_time": seconds, "max_len": LONGEST, "rss_limit_mb": MEGABYTES, "timeout": 10, "dict": words,
        "artifact_prefix": f"{KEPT}/{name}-", "print_final_stats": 1, "verbosity": 0,
    }  # fmt: skip
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)],
                  lambda data: knock(DOORS[name], data))  # fmt: skip
    atheris.Fuzz()


def _word(piece: bytes) -> str:
    """Return a line of libFuzzer's dictionary, whose words have 64 bytes at most."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"\n' if 0 < len(piece) < 64 else ""


def show(file: Path) -> None:
    """Hand an input that was kept to its door; what goes wrong is raised."""
    from tests.fuzz.doors import DOORS, knock

    name = max((name for name in DOORS if file.name.startswith(name)), key=len, default=file.parent.name)
    print(f"{name}: {knock(DOORS[name], file.read_bytes()) or 'taken'}")


def all_of(names: Sequence[str], seconds: int) -> int:
    """Fuzz doors, each in a process of its own, as many at a time as there are processors; say how each did."""

    def one(name: str) -> bool:
        command = [sys.executable, "-m", "tests.fuzz", "--door", name, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        said = done.stdout + done.stderr
        tries = re.findall(r"number_of_executed_units:\s*(\d+)", said)
        memory = re.findall(r"peak_rss_mb:\s*(\d+)", said)
        well = done.returncode == 0 and bool(tries)
        verdict = "ok" if well else f"FAILED\n{said[-3000:]}"
        print(f"{name:<18}{int([*tries, 0][0]):>12,} tries{[*memory, '?'][0]:>6} MB  {verdict}", flush=True)
        return well

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(one, names))) else 1


def main(args: Sequence[str]) -> int:
    """Do what the arguments say."""
    from tests.fuzz.seeds import SEEDS

    match args:
        case ["--door", name, seconds]:
            fuzz(name, int(seconds))
        case ["--show", file]:
            show(Path(file))
        case [seconds, *names] if seconds.isdecimal():
            return all_of(names or [*SEEDS], int(seconds))
        case _:
            return all_of([*args] or [*SEEDS], SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
