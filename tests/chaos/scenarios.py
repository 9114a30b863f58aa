"""What may happen to a gateway, and what has to hold all the same. Each scenario fails with what did not hold.

They are the same for `make chaos` and for `make test`, which runs them with smaller numbers (tests/e2e/test_chaos.py).
"""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from stage import Load, Result, Stage, until

Say = Callable[[str], None]
# A call that ended so long before a kill is on disk.
SETTLED = 0.2


def kill(folder: Path, say: Say, seed: int, kills: int = 50, longest: float = 1.5, by_time: bool = True) -> Result:
    """`kill -9` at random moments under load; the receiver is down in about every third round. `by_time`: calls that
    ended long enough before have to survive; otherwise those that the gateway says are on disk, which holds however slow
    the machine is."""
    stage = Stage(folder, seed)
    try:
        stage.start()
        load = stage.load("call")
        must: set[str] = set()
        moments: list[float] = []
        started = time.monotonic()
        for number in range(kills):
            down = stage.random.random() < 1 / 3
            if down:
                stage.receiver.break_down("refuse")
            have = len(load.ended)
            until(lambda: len(load.ended) > have, what="calls after the restart")
            threading.Event().wait(stage.random.uniform(0.1, longest))
            if by_time:
                moment = time.monotonic()
                stage.gateway.kill()
                must |= load.between(started, moment - SETTLED)
            else:
                moment, count = time.monotonic(), len(load.ended)
                stage.on_disk(count)
                stage.gateway.kill()
                must |= load.between(started, moment)
            moments.append(time.monotonic())
            if down:
                stage.receiver.heal()
            started = time.monotonic()
            stage.start()
            say(f"kill {number + 1} of {kills}: {len(load.ended)} calls ended, {len(stage.receiver.messages())} delivered")
        load.stop()
        must |= load.between(started, time.monotonic())
        stage.on_disk()

        def lost() -> str:
            missing = [load.ended[name] for name in must - stage.receiver.messages()]
            before = [min(moment - ended for moment in moments if moment > ended) * 1000 for ended in missing]
            return f"what has to survive: {len(missing)} of {len(must)} are lost; they had ended up to {max(before, default=0):.0f} ms before a kill"

        # What a gateway that has just started says of its queue is of no use here: it may not have looked yet.
        until(lambda: must <= stage.receiver.messages(), 120, lost)
        stage.settled()
        stage.unharmed()
        assert stage.receiver.verdict(repeats=True) == []
        others = set(load.ended) - must
        what = f"that ended more than {SETTLED * 1000:.0f} ms before a kill" if by_time else "that were on disk"
        return Result(f"`kill -9` at {kills} random moments under load", {
            "calls that ended": f"{len(load.ended):,}", f"lost of those {what}": f"0 of {len(must):,}",
            "lost of the others": f"{len(others - stage.receiver.messages()):,} of {len(others):,}",
            "sent again after a kill, with the same ids": f"{stage.receiver.repeated():,}",
        })  # fmt: skip
    finally:
        stage.close()


def outage(folder: Path, say: Say, seed: int, minutes: float = 10, rate: int = 300) -> Result:
    """The receiver is down under steady load; latency before, during and after it, and memory throughout."""
    stage = Stage(folder, seed)
    try:
        stage.start()
        memory = Memory(stage.gateway)
        stage.calls("warm", 500)
        phases: dict[str, Load] = {}

        def phase(name: str, done) -> None:
            load = phases[name] = stage.load(name, rate)
            began = told = time.monotonic()
            while not done(time.monotonic() - began):
                threading.Event().wait(0.2)
                if time.monotonic() - told > 15:
                    told = time.monotonic()
                    say(f"{name}: {len(load.ended)} calls, {stage.destination()['waiting']} wait, {memory.peak() >> 20} MiB at most")
            load.stop()

        steady = min(60.0, minutes * 60)
        phase("well", lambda seconds: seconds > steady)
        stage.settled()
        stage.receiver.break_down("refuse")
        phase("down", lambda seconds: seconds > minutes * 60)
        waiting = stage.destination()["waiting"]
        stage.receiver.heal()
        healed = time.monotonic()
        phase("after", lambda _: stage.destination()["waiting"] < rate)
        drained = time.monotonic() - healed
        told = stage.settled()
        sent = {name for load in stage.loads for name in load.ended}
        stage.receiver.delivered(sent)
        stage.unharmed()
        assert (found := stage.receiver.verdict()) == [], (len(found), found[:3])
        assert told["offered"] == told["delivered"] == len(sent), told
        peak = memory.stop()
        assert peak < 150 << 20, f"{peak >> 20} MiB"
        latency = lambda name: " / ".join(f"{ms:.2f}" for ms in phases[name].percentiles())
        return Result(f"receiver down for {minutes:g} minutes at {rate} calls a second, 4 KiB each", {
            "calls": f"{len(sent):,}", "waiting when it came back": f"{waiting:,}", "lost": "0", "twice": "0",
            "until all had arrived": f"{drained:.0f} s, under the same load",
            "memory at most (RSS)": f"{peak / 2**20:.0f} MiB",
            "latency before, p50 / p99": f"{latency('well')} ms", "during the outage": f"{latency('down')} ms",
            "while the backlog was sent": f"{latency('after')} ms",
        })  # fmt: skip
    finally:
        stage.close()


class Memory:
    """Looks at a process' resident memory again and again."""

    def __init__(self, gateway):
        self.gateway, self.samples, self._done = gateway, [gateway.memory("VmRSS")], threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.25):
            self.samples.append(self.gateway.memory("VmRSS"))

    def peak(self) -> int:
        return max(self.samples)

    def stop(self) -> int:
        """Ends it; the most it has seen, in bytes."""
        self._done.set()
        self._thread.join(10)
        return self.peak()


def clock(folder: Path, say: Say, seed: int, calls: int = 300) -> Result:
    """The wall clock is set back while calls wait: nothing goes early. Then ahead: what is too old goes, and is counted."""
    faketime = shutil.which("faketime")
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not faketime or not libraries:
        raise Unable("libfaketime is not installed (Debian: faketime)")
    stage = Stage(folder, seed)
    offset = folder / "clock"

    def jump(to: str) -> None:
        offset.with_suffix(".new").write_text(to + "\n")
        offset.with_suffix(".new").rename(offset)

    jump("+0")
    # Monotonic time goes on as it does where somebody sets the clock.
    env = {
        "LD_PRELOAD": str(libraries[0]), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    try:
        stage.start("--spool-max-age", "24", env=env)
        stage.receiver.break_down("refuse")
        sent: set[str] = set()
        for number, to in enumerate(["+0", "-1h", "-2d", "-40y"]):
            jump(to)
            sent |= stage.calls(f"{number}", calls)
            stage.on_disk()
            say(f"clock {to}: {stage.destination()['waiting']} of {len(sent)} wait")
            assert stage.destination()["waiting"] == len(sent), stage.destination()
        stage.receiver.heal()
        stage.receiver.delivered(sent)
        stage.settled()
        jump("+0")
        stage.receiver.break_down("refuse")
        old = stage.calls("old", calls)
        stage.on_disk()
        jump("+25h")
        until(lambda: stage.destination()["dropped"]["expired"], what=lambda: f"calls that expire: {stage.destination()}")
        stage.receiver.heal()
        fresh = stage.calls("fresh", 50)
        stage.receiver.delivered(fresh)
        told = stage.settled()
        stage.unharmed()
        stage.gateway.alive()
        missing = len((sent | old | fresh) - stage.receiver.messages())
        # What was being sent at that moment may arrive all the same.
        expired = told["dropped"]["expired"]
        assert missing <= expired == sum(told["dropped"].values()), (missing, told)
        assert (found := stage.receiver.verdict()) == [], (len(found), found[:3])
        return Result("clock set back by an hour, two days, forty years while calls wait", {
            "calls": f"{len(sent | old | fresh):,}", "requests harmed": "0", "lost": "0",
            "then set 25 hours ahead: given up, counted as `expired`": f"{expired:,}",
        })  # fmt: skip
    finally:
        stage.close()


def two_processes(folder: Path, say: Say, seed: int, calls: int = 1000) -> Result:
    """Two gateways on one data directory; one is killed, the other sends what it has left behind."""
    stage = Stage(folder, seed)
    try:
        # The configuration database is one process' alone; a configuration file is anybody's.
        first, second = (stage.start("--config", str(stage.declaration())) for _ in range(2))
        stage.receiver.break_down("refuse")
        loads = [stage.load(name, gateway=gateway) for name, gateway in (("first", first), ("second", second))]
        until(lambda: all(len(load.ended) > calls for load in loads), 120, "calls through both")
        sent = set().union(*(load.stop() for load in loads))
        for gateway, load in zip((first, second), loads):
            until(lambda: stage.engine(gateway)["spool"]["appended"] >= len(load.ended), what="everything on disk")
        directories = len(list(stage.data_dir.glob("spool/w-*")))
        first.kill()
        stage.receiver.heal()
        began = time.monotonic()
        stage.receiver.delivered(sent)
        took = time.monotonic() - began
        until(lambda: stage.engine(second)["spool"]["adopted"] >= len(loads[0].ended), what=lambda: f"{stage.engine(second)['spool']}")
        say(f"adopted and delivered after {took:.1f} s")
        stage.settled(gateway=second)
        stage.unharmed()
        assert directories == 2, directories
        assert (found := stage.receiver.verdict()) == [], (len(found), found[:3])
        return Result("two processes on one data directory, one of them killed", {
            "calls": f"{len(sent):,}", "lost": "0", "twice": "0", "adopted by the other": f"{stage.engine(second)['spool']['adopted']:,}",
            "all delivered after": f"{took:.0f} s",
        })  # fmt: skip
    finally:
        stage.close()


def disk_full(folder: Path, say: Say, seed: int, size: int = 32 << 20, beyond: int = 3000) -> Result:
    """The spool's disk is full while the receiver is down; then space returns, then the receiver."""
    stage = Stage(folder, seed)
    spool = stage.data_dir / "spool"
    spool.mkdir(parents=True, mode=0o700)
    stage.data_dir.chmod(0o700)
    with small_disk(spool, size):
        try:
            # What somebody else has on this disk, and deletes in the end.
            filler = spool / "other-data"
            filler.write_bytes(bytes(size * 3 // 4))
            stage.start(config={"queue": {**stage.queue, "max_entries": 1000}})
            stage.receiver.break_down("refuse")
            load = stage.load("call", rate=600)
            until(lambda: stage.engine()["spool"]["failing"], 120, "a full disk")
            full_at = len(load.ended)
            say(f"full after {full_at} calls: {stage.engine()['spool']['failing']}")
            until(lambda: len(load.ended) > full_at + beyond, 120, "calls while it is full")
            told = stage.engine()
            assert told["spool"]["memory_only"] and told["spool"]["write_errors"], told["spool"]
            filler.unlink()
            until(lambda: not stage.engine()["spool"]["failing"], 60, lambda: f"recovery: {stage.engine()['spool']}")
            back_at = len(load.ended)
            say(f"space is back after {back_at} calls")
            until(lambda: len(load.ended) > back_at + 500, what="calls after that")
            sent = load.stop()
            stage.receiver.heal()
            told = stage.settled()
            stage.unharmed()
            stage.gateway.alive()
            missing = len(sent - stage.receiver.messages())
            assert missing == sum(told["dropped"].values()), f"{missing} missing, counted: {told['dropped']}"
            assert set(name for name, count in told["dropped"].items() if count) <= {"overflow"}, told["dropped"]
            assert (found := stage.receiver.verdict()) == [], (len(found), found[:3])
            late = {name for name in sent if load.ended[name] > sorted(load.ended.values())[back_at + 100]}
            assert late <= stage.receiver.messages(), "what came after the space had returned is all there"
            return Result("disk full for a while, with the receiver down", {
                "calls": f"{len(sent):,}", "of them while the disk was full": f"{back_at - full_at:,}",
                "requests harmed": "0", "lost": f"{missing:,}, all counted as `overflow`",
            })  # fmt: skip
        finally:
            stage.close()


class small_disk:
    """A file system of so many bytes at a folder; needs root, or rather the right to mount."""

    def __init__(self, folder: Path, size: int):
        self.folder, self.size = folder, size

    def __enter__(self) -> None:
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=700", "tmpfs", self.folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unable(f"no small file system can be mounted: {done.stderr.strip()}")

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", self.folder], check=True)


class Unable(Exception):
    """This machine cannot play the scenario."""


def damaged_files(folder: Path, say: Say, seed: int, rounds: int = 20, calls: int = 400) -> Result:
    """Segments are truncated, bit-flipped and deleted under the running process, then the whole directory."""
    stage = Stage(folder, seed, max_entries=50)
    try:
        stage.start()
        sent: set[str] = set()
        hurt: dict[str, int] = {}
        ways = [truncate, flip, delete, delete_directory]
        for number in range(rounds):
            way = ways[number % len(ways)]
            stage.receiver.break_down("refuse")
            sent |= stage.calls(f"{number}-before", calls)
            stage.on_disk()
            way(stage)
            sent |= stage.calls(f"{number}-after", calls)
            stage.receiver.heal()
            told = stage.settled()
            # Once it has noticed, everything is on disk again.
            fresh = stage.calls(f"{number}-fresh", 50)
            stage.receiver.delivered(fresh)
            sent |= fresh
            told = stage.settled()
            missing = len(sent - stage.receiver.messages())
            assert missing == sum(told["dropped"].values()), f"{way.__name__}: {missing} missing, counted: {told['dropped']}"
            assert set(name for name, count in told["dropped"].items() if count) <= {"damaged"}, told["dropped"]
            hurt[way.__name__] = hurt.get(way.__name__, 0) + missing - sum(hurt.values())
            say(f"round {number + 1} of {rounds}, {way.__name__}: {missing} of {len(sent)} lost so far, all counted")
        stage.unharmed()
        stage.gateway.alive()
        assert (found := stage.receiver.verdict()) == [], (len(found), found[:3])
        lost = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in hurt.items())
        return Result("spool files truncated, bit-flipped, deleted under the running process", {
            "calls": f"{len(sent):,}", "rounds": str(rounds), "requests harmed": "0", "lost, all counted as `damaged`": lost,
        })  # fmt: skip
    finally:
        stage.close()


def damaged_restart(folder: Path, say: Say, seed: int, rounds: int = 20, calls: int = 300) -> Result:
    """Files are damaged while no process runs; every start has to go on with the rest."""
    stage = Stage(folder, seed)
    try:
        stage.start()
        sent: set[str] = set()
        lost = 0
        for number in range(rounds):
            stage.receiver.break_down("refuse")
            sent |= stage.calls(f"{number}", calls)
            stage.on_disk()
            stage.gateway.kill()
            file = stage.random.choice([*stage.segments(), *stage.data_dir.glob("spool/w-*/cursors")])
            worst, how = spoil(stage, file)
            stage.receiver.heal()
            stage.start()
            fresh = stage.calls(f"{number}-fresh", 20)
            stage.receiver.delivered(fresh)
            sent |= fresh
            told = stage.settled()
            assert sum(told["dropped"].values()) == told["dropped"]["damaged"], told
            now = len(sent - stage.receiver.messages()) - lost
            lost += now
            say(f"round {number + 1} of {rounds}, {file.name} {how}: {now} lost, {lost} of {len(sent)} so far")
            assert now <= (0 if file.name == "cursors" else worst), f"{now} lost, at most {worst} were damaged"
        stage.unharmed()
        assert stage.receiver.verdict(repeats=True) == []
        return Result("spool files damaged at random while no process runs", {
            "calls": f"{len(sent):,}", "starts": str(rounds), "starts that failed": "0", "calls lost with the bytes that were damaged": f"{lost:,}",
            "sent again, with the same ids": f"{stage.receiver.repeated():,}",
        })  # fmt: skip
    finally:
        stage.close()


def truncate(stage: Stage) -> None:
    """Cuts the newest segment somewhere."""
    with stage.segments()[-1].open("r+b") as file:
        file.truncate(stage.random.randrange(file.seek(0, 2)))


def flip(stage: Stage) -> None:
    """Flips one bit in several places of each segment."""
    for file in stage.segments():
        flip_bits(stage, file, 5)


def flip_bits(stage: Stage, file: Path, count: int) -> None:
    with file.open("r+b") as opened:
        size = opened.seek(0, 2)
        for _ in range(count):
            at = stage.random.randrange(size)
            opened.seek(at)
            byte = opened.read(1)[0]
            opened.seek(at)
            opened.write(bytes([byte ^ 1 << stage.random.randrange(8)]))


def delete(stage: Stage) -> None:
    """Deletes one segment."""
    stage.random.choice(stage.segments()).unlink()


def delete_directory(stage: Stage) -> None:
    """Deletes everything of the spool, the directory too."""
    subprocess.run(["rm", "-rf", stage.data_dir / "spool"], check=True)


def spoil(stage: Stage, file: Path) -> tuple[int, str]:
    """Cuts, flips, overwrites or deletes a file. How many calls that can cost at most, and what it was."""
    size = file.stat().st_size
    at = stage.random.randrange(size)
    # None of our calls takes less than 2 KB.
    touched = lambda bytes: bytes // 2000 + 2
    match stage.random.randrange(4):
        case 0:
            with file.open("r+b") as opened:
                opened.truncate(at)
            return touched(size - at), f"cut at {at} of {size}"
        case 1:
            count = stage.random.randrange(1, 20)
            flip_bits(stage, file, count)
            return count, f"with {count} bits flipped"
        case 2:
            length = stage.random.randrange(1, 5000)
            with file.open("r+b") as opened:
                opened.seek(at)
                opened.write(stage.random.randbytes(length))
            return touched(length), f"with {length} bytes overwritten"
        case _:
            file.unlink()
            return touched(size), "deleted"
