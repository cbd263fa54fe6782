"""Disks that fail for real, each as the machine allows it; and what stands in for them where it does not.

| disk | how it refuses | needs |
|---|---|---|
| `Tiny` | a file system of 2 MiB that is full, or mounted read-only | a mount namespace of one's own |
| `Frozen` | the files of the journal may not be changed, although they are open | root, and ext4 |
| `Broken` | ext4 that found an error and turned read-only under its open files | root, and loop devices |
| `Capped` | no file of the process may grow (RLIMIT_FSIZE): what stands in for the others | nothing |
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PAGE = 4096


class Disk:
    """A disk at `path`, as the processes see it that are started with `command`."""

    def __init__(self, path: Path) -> None:
        self.path = self.seen = path
        """`seen` is where the test finds what the processes find at `path`."""
        path.mkdir()

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs `words` with a view of the disk."""
        return list(words)

    def seal(self) -> None:
        """Let nothing on it be changed by what starts from now on."""
        raise NotImplementedError

    def refuse(self, process: int | None = None) -> None:
        """Take no more from this process; from those that start from now on, if it is None."""
        raise NotImplementedError

    def accept(self, process: int | None = None) -> None:
        """Take in again what is written."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""


class Capped(Disk):
    """A stand-in: a process may write to no file beyond its first bytes, or the modes forbid it."""

    prefix: Sequence[str] = ()

    def command(self, words: Sequence[str]) -> list[str]:
        return [*self.prefix, *words]

    def refuse(self, process: int | None = None) -> None:
        if process is None:
            self.prefix = ["prlimit", "--fsize=100:"]  # room for the name of who holds the folder
        else:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (1024, self._most(process)))

    def accept(self, process: int | None = None) -> None:
        self.prefix = ()
        if process is not None:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (self._most(process), self._most(process)))

    def seal(self) -> None:
        """Let nothing be changed. Root, too, must heed the modes then."""
        self._allow(0o500, 0o400)
        if os.geteuid() == 0:
            self.prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    def close(self) -> None:
        self._allow(0o700, 0o600)

    def _allow(self, folders: int, files: int) -> None:
        for folder, _, names in os.walk(self.path, topdown=folders == 0o700):
            os.chmod(folder, folders)
            for name in names:
                os.chmod(os.path.join(folder, name), files)

    @staticmethod
    def _most(process: int) -> int:
        return resource.prlimit(process, resource.RLIMIT_FSIZE)[1]


class Frozen(Disk):
    """The journal's log may not be changed by anybody, those included who have it open."""

    def refuse(self, process: int | None = None) -> None:
        subprocess.run(["chattr", "+i", self._log()], check=True)

    def accept(self, process: int | None = None) -> None:
        subprocess.run(["chattr", "-i", self._log()], check=True)

    def close(self) -> None:
        if os.path.exists(self._log()):
            subprocess.run(["chattr", "-i", self._log()], check=True)

    def _log(self) -> str:
        return str(self.path / "state" / "journal.db-wal")


class Mounted(Disk):
    """A file system in a mount namespace of its own, which lasts as long as the process that holds it."""

    flags: Sequence[str] = ("-m",)

    def __init__(self, path: Path, script: str) -> None:
        super().__init__(path)
        command = ["unshare", *self.flags, "sh", "-c", f"{script} && echo up && exec cat", str(path)]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout
        if self.holder.stdout.readline() != "up\n":
            self.close()
            raise OSError("no file system of one's own here")
        self.seen = Path(f"/proc/{self.holder.pid}/root{path}")

    def command(self, words: Sequence[str]) -> list[str]:
        namespaces = ["-U", "-m", "--preserve-credentials"] if "-r" in self.flags else ["-m"]
        return ["nsenter", "-t", str(self.holder.pid), *namespaces, *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(words), check=True, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        assert self.holder.stdin
        assert self.holder.stdout
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


class Tiny(Mounted):
    """2 MiB of memory, which a ballast fills to the last page."""

    flags = ("-r", "-m")

    def __init__(self, path: Path) -> None:
        super().__init__(path, 'mount -t tmpfs -o size=2M tiny "$0"')

    def refuse(self, process: int | None = None, spare: int = 0) -> None:
        """Leave so many pages."""
        with (self.seen / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(PAGE))
        os.truncate(self.seen / "ballast", (self.seen / "ballast").stat().st_size - spare * PAGE)

    def accept(self, process: int | None = None) -> None:
        (self.seen / "ballast").unlink()

    def seal(self) -> None:
        """Mount it read-only, which takes that nobody has a file open for writing."""
        self.run("mount", "-o", "remount,ro", str(self.path))


class Broken(Mounted):
    """ext4 on a file. What it does when it finds an error can be asked for; then only a new mount can be written to."""

    def __init__(self, path: Path) -> None:
        self.image = path.with_suffix(".img")
        self.image.touch()
        os.truncate(self.image, 16 * 1024 * 1024)
        quiet = f">/dev/null 2>&1 {self.image}"
        super().__init__(path, f'mkfs.ext4 -q {quiet} && mount -o loop {self.image} "$0" 2>/dev/null')

    def refuse(self, process: int | None = None) -> None:
        self.run("mount", "-o", "remount,abort", str(self.path))

    def accept(self, process: int | None = None) -> None:
        """Unmount, check and mount it, as an operator does. Nobody may have a file open on it."""
        self.run("umount", str(self.path))
        subprocess.run(["e2fsck", "-fy", str(self.image)], check=False, capture_output=True)
        self.run("mount", "-o", "loop", str(self.image), str(self.path))


def have(kind: type[Disk], folder: Path) -> bool:
    """Say whether this machine allows such a disk, by making one."""
    probe = folder / kind.__name__
    try:
        if kind is Frozen:
            frozen = Frozen(probe)
            (probe / "state").mkdir()
            (probe / "state" / "journal.db-wal").touch()
            frozen.refuse()
            frozen.accept()
        else:
            kind(probe).close()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{kind.__name__} is not to be had here: {error}", file=sys.stderr)
        return False
    return True
