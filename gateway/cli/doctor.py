"""``gateway doctor``: whatever could keep this gateway from working, each with its remedy. Nothing is changed."""

import asyncio
import os
import resource
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import asdict, astuple

from gateway.cli import api, check, surroundings, terminal, troubles
from gateway.cli.client import NobodyListens
from gateway.cli.offline import reading
from gateway.cli.place import Place
from gateway.errors import AddressBlocked, ConfigError, ConnectFailed, EgressError, GatewayError, Problem, StoreError
from gateway.event.tracks import MOST_RECORD
from gateway.machine.memory import MIB, body_budget, memory_limit
from gateway.routing import Config, Destination, Source
from gateway.store import Health, health_of
from gateway.store.logins import Login
from gateway.store.memory import MOST_KEYS
from gateway.store.nouns import Limits, Retention
from gateway.store.room import filling, free_disk
from gateway.wording import count, printable

#: Free space below this many times the limit is a warning.
NEARLY: Final = 2
#: Most damages of a store that are listed one by one.
MOST_DAMAGES: Final = 5
#: Descriptors that the gateway uses: one for each connection in and out, and its own.
OPEN_FILES: Final = 2 * 1024 + 64
LEAST_OPEN_FILES: Final = 256
#: What the process needs with a million waiting deliveries and as many bodies as it accepts, bytes.
LEAST_MEMORY: Final = 256 * MIB
#: Years that a correct clock can show.
YEARS: Final = range(2025, 2101)
#: How far the store's clock may be ahead before it is a warning, seconds.
AHEAD_S: Final = 60.0
NONE_RUNS: Final = "no gateway is running: what is below is read from its store"
#: Time limit for DNS, connection and TLS together, seconds.
REACH_S: Final = 10.0
_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


class Finding(Struct, frozen=True):
    """The result of one check."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    said: str
    remedy: str = ""


def doctor(*, config: Path, store: str, url: str, online: bool, as_json: bool) -> int:
    """Check everything and print a line each; 1 if a check fails."""
    found: list[Finding] = []
    for each in _findings(config, store, url, online=online):
        found.append(each)
        if not as_json:
            _show(each)
    failed = any(each.verdict == "fail" for each in found)
    if as_json:
        terminal.print_json({"ok": not failed, "checks": [asdict(each) for each in found]})
    return 1 if failed else 0


def _show(each: Finding) -> None:
    terminal.say((f"{each.verdict:<4}", _STYLES[each.verdict]), f"  {each.check:<12}  {each.said}")
    if each.remedy:
        terminal.say(f"{'':<6}{'':<12}  ", (each.remedy, "bold"))


def _findings(config: Path, store: str, url: str, *, online: bool) -> Iterator[Finding]:
    loaded, running = _loaded(config), _running(url)
    is_running = running.verdict == "ok"
    yield configuration(config, loaded, is_running=is_running)
    yield running
    health = health_of(store)
    limits = loaded.limits if isinstance(loaded, Config) else Limits()
    destinations = loaded.destinations.values() if isinstance(loaded, Config) else ()
    wanting = [each for each in destinations if each.oauth is not None and each.oauth.is_kept]
    yield from _store(store, health, limits, wanting)
    if health.version:
        yield engine(health.engine, health.version, health.defect, health.remedy)
    if health.folder is not None:
        yield disk(health.folder, limits)
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield memory(memory_limit(), loaded.sources.values() if isinstance(loaded, Config) else ())
    yield from permissions(health.files)
    yield from permissions([config.parent / ".env"], others=surroundings.OTHERS)
    if running.verdict != "fail" and (running.said != NONE_RUNS or health.state == "in use"):
        place = Place(url=url, store=store, config=config)
        yield from (Finding(name, "warn", *said) for name, *said in troubles.troubles(place))
    if isinstance(loaded, Config):
        yield from (Finding(name, "fail", *said) for name, *said in surroundings.unwritable_files(loaded))
    if online and isinstance(loaded, Config):
        yield from asyncio.run(_reached(loaded))


# --- the file ---


def _loaded(path: Path, *, no_env: bool = False) -> Config | ConfigError:
    try:
        return surroundings.loaded(path, no_env=no_env)
    except ConfigError as error:
        return error


def configuration(path: Path, loaded: Config | ConfigError, *, is_running: bool) -> Finding:
    """What ``gateway check`` says, in a line. ``is_running``: a gateway is running and accepted its file."""
    if isinstance(loaded, ConfigError):
        if is_running and isinstance(_loaded(path, no_env=True), Config):
            said = f"{path}: variables are not set here; the running gateway may have them"
            return Finding("config", "warn", said, "`gateway check` lists each with its line")
        return _refused(path, loaded)
    _, problems = check.everything(path)
    if len(problems) == 1:
        return Finding("config", "warn", f"{check.summary(path, loaded)}; {_said(problems[0])}", _remedy(problems[0]))
    # The file can be loaded, so its errors are about its tests.
    in_tests = check.errors(problems)
    found = [check.summary(path, loaded)]
    if in_tests:
        found.append(f"{count(in_tests, 'problem')} in its tests, which do not stop deliveries")
    if warnings := len(problems) - in_tests:
        found.append(count(warnings, "warning"))
    return Finding(
        "config", "warn" if problems else "ok", ", ".join(found), "`gateway check` lists each" if problems else ""
    )


def _refused(path: Path, error: ConfigError) -> Finding:
    """Why the file is not loaded: its only problem, or how many there are."""
    problems = [each for each in error.problems if each.severity == "error"]
    if len(problems) == 1:
        return Finding("config", "fail", _said(problems[0]), _remedy(problems[0]))
    return Finding("config", "fail", f"{path}: {error}", "`gateway check` lists each with its line")


def _said(problem: Problem) -> str:
    kind = "warning: " if problem.severity == "warning" else ""
    return printable(f"{problem.place}: {kind}{problem.message}")


def _remedy(problem: Problem) -> str:
    return printable(problem.hint) or "`gateway check` shows the line"


# --- the store ---


def _store(url: str, health: Health, limits: Limits, wanting: Sequence[Destination]) -> Iterator[Finding]:
    """What is wrong with the store and with what it keeps; ``wanting``: the destinations that keep a login there."""
    if health.folder is not None:
        yield owner(health)
    yield from (Finding(*astuple(sign)) for sign in health.signs)
    kept: Sequence[Login] = ()
    if health.state == "missing":
        if health.folder is not None:
            yield missing(health, health.folder)
    elif health.state == "empty":
        yield Finding("store", "ok", f"{health.name} is empty: nothing was stored yet, the next start sets it up")
    elif health.state == "emptied":
        yield Finding("store", "fail", f"{health.name} is empty, and has held events", "restore a backup")
    else:
        try:
            with reading(url) as (reads, runner):
                yield clock(runner.run(reads.stored_time()), time.time())
                yield pending(runner.run(reads.stats()).pending, limits)
                yield from remembered(runner.run(reads.memories()))
                yield from tracked(runner.run(reads.remembered()))
                kept = runner.run(reads.logins()) if wanting else ()
                damages = runner.run(terminal.watched("checking the store", reads.check(), lambda: reads.progress))
        except StoreError as error:
            yield Finding("store", "fail", str(error))
            return
        yield from integrity(health, damages)
    if wanting:
        from gateway.cli import logins

        yield from (Finding(*each) for each in logins.findings(wanting, kept))


def missing(health: Health, folder: Path) -> Finding:
    """There is no store, as it should be before the first start."""
    if os.access(folder, os.W_OK):
        return Finding("store", "ok", f"{health.name} does not exist yet: the first start creates it")
    return Finding("store", "fail", f"{folder} is missing or not writable", "create it, writable for this user")


def integrity(health: Health, damages: Sequence[str]) -> Iterator[Finding]:
    """What the store and its checksums say: a finding for each of the first damages."""
    remedy = "stop the gateway and restore a backup"
    for each in damages[:MOST_DAMAGES]:
        yield Finding("store", "fail", f"{health.name} is damaged: {' '.join(each.split())}", remedy)
    if len(damages) > MOST_DAMAGES:
        yield Finding("store", "fail", f"and {len(damages) - MOST_DAMAGES:,} more", remedy)
    if not damages:
        yield Finding("store", "ok", f"{health.name} is sound, {terminal.size(health.size)}")


def pending(waiting: Mapping[str, int], limits: Limits) -> Finding:
    """Whether the deliveries that wait leave room for others."""
    full = filling(waiting, limits)
    if full is None:
        return Finding("pending", "ok", count(sum(waiting.values()), "waiting delivery", "waiting deliveries"))
    verdict: Literal["warn", "fail"] = "fail" if full.share >= 1 else "warn"
    return Finding("pending", verdict, str(full), "`gateway destinations` shows why they wait")


def remembered(memories: Mapping[str, int]) -> Iterator[Finding]:
    """How much entries remember: of too many keys of a name, the oldest are forgotten. Nothing if they remember nothing."""
    full = [name for name, keys in memories.items() if keys >= MOST_KEYS]
    if full:
        said = f"{', '.join(full)}: {MOST_KEYS:,} keys are remembered, the maximum; new ones replace the oldest"
        yield Finding("memory of answers", "warn", said, "remember them for less time: shorten `for` under remember")
    elif memories:
        said = ", ".join(f"{name} {keys:,}" for name, keys in memories.items())
        yield Finding("memory of answers", "ok", f"keys remembered: {said}; at most {MOST_KEYS:,} each")


def tracked(records: Mapping[str, int]) -> Iterator[Finding]:
    """How much each source with ``track`` remembers; from the most on, the records longest without an event are forgotten."""
    most = Retention().records
    for source, number in records.items():
        said = f"{source} remembers {count(number, 'record')} of at most {most:,}, each of at most {MOST_RECORD // 1024} KiB"
        if number < most:
            yield Finding("records", "ok", said)
        else:
            remedy = "shorten track, or name what really identifies a record: track: {per: ...}"
            yield Finding("records", "warn", f"{said}: those longest without an event are forgotten early", remedy)


def owner(health: Health) -> Finding:
    """Which process has the store open."""
    found = health.owner
    if health.owner_unknown:
        return Finding("owner", "warn", health.owner_unknown, "run this as the user of the gateway")
    if found is None:
        return Finding("owner", "ok", "no process has the store open")
    if found.is_alive:
        return Finding("owner", "ok", f"{found.name} has the store open")
    said = f"{found.name} had the store open and ended without closing it"
    return Finding("owner", "warn", said, "nothing is lost: the next start checks the store and continues")


def engine(name: str, version: str, defect: str, remedy: str) -> Finding:
    """Whether the version of what keeps the data is known to damage it."""
    return Finding(name, "fail", f"{version} {defect}", remedy) if defect else Finding(name, "ok", version)


def clock(stored_at: float, now: float) -> Finding:
    """Whether the year is plausible, and whether the store has seen a later time than this machine."""
    said = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    if datetime.fromtimestamp(now, UTC).year not in YEARS:
        return Finding(
            "clock", "fail", f"it is {said}", "set the clock: until then, signatures with a timestamp are refused"
        )
    if stored_at - now > AHEAD_S:
        ahead = f"the store's clock is {stored_at - now:,.0f} s ahead of this machine's ({said})"
        return Finding(
            "clock", "warn", ahead, "the clock was set back, or was wrong before: retries follow the store's clock"
        )
    return Finding("clock", "ok", said)


# --- the machine ---


def disk(folder: Path, limits: Limits) -> Finding:
    """Whether there is space for events."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Finding("disk", "fail", f"{folder}: {error.strerror}", "create the store's folder")
    return space(usage.free, free_disk(limits, usage.total), usage.total)


def space(free: int, least: int, total: int) -> Finding:
    """Whether the disk is filling up: new events are refused below ``least`` bytes, those stored are still sent."""
    said = f"{terminal.size(free)} free of {terminal.size(total)}"
    if free >= NEARLY * least:
        return Finding("disk", "ok", said)
    remedy = f"free some space, keep less (retention), or lower limits.free_disk: below {terminal.size(least)} new events are refused"
    return Finding("disk", "fail" if free < least else "warn", said, remedy)


def open_files(hard: int) -> Finding:
    """Whether the hard limit allows as many connections as the gateway can handle."""
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES:
        return Finding("open files", "ok", "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,}")
    verdict: Literal["fail", "warn"] = "fail" if hard < LEAST_OPEN_FILES else "warn"
    said = f"{hard:,}: at most {max(16, (hard - 64) // 2):,} connections at a time"
    return Finding("open files", verdict, said, f"raise the hard limit (LimitNOFILE=, ulimit -Hn) to {OPEN_FILES:,}")


def memory(limit: int, sources: Iterable[Source]) -> Finding:
    """Whether the process may use enough memory, and holds the largest body of every source."""
    if not limit:
        return Finding("memory", "ok", "the limit is unknown")
    budget = body_budget(limit)
    said = f"{terminal.size(limit)}, so at most {terminal.size(budget)} of request bodies at a time"
    if limit < LEAST_MEMORY:
        return Finding("memory", "warn", said, f"allow the process {terminal.size(LEAST_MEMORY)}")
    largest = max(sources, key=lambda source: source.max_body, default=None)
    if largest is not None and largest.max_body > budget:
        said += f"; a body of {largest.name} may have {terminal.size(largest.max_body)}"
        remedy = f"lower max_body of {largest.name}: larger bodies get 503 unless no other is in memory"
        return Finding("memory", "warn", said, remedy)
    return Finding("memory", "ok", said)


def permissions(paths: Iterable[Path], *, others: int = stat.S_IROTH | stat.S_IWOTH) -> Iterator[Finding]:
    """Whether other users can read personal or secret data; ``others``: what they must not have."""
    for path in (each for each in paths if each.exists()):
        mode = path.stat().st_mode
        if mode & others:
            said, remedy = surroundings.exposed(path, mode)
            yield Finding("permissions", "warn", said, remedy)
        elif not os.access(path, os.R_OK):
            yield Finding("permissions", "fail", f"{path} cannot be read", "run this as the user of the gateway")
        else:
            yield Finding("permissions", "ok", f"{path} {stat.filemode(mode)}")


# --- the gateway, and where it sends ---


def _running(url: str) -> Finding:
    try:
        answer = api.ask(url, "/readyz")
    except api.ApiRefused as error:
        return Finding("gateway", "fail", str(error), "look at its log")
    except NobodyListens:
        return readiness(None)
    except GatewayError as error:
        return Finding("gateway", "fail", str(error))
    return readiness(answer)


def readiness(answer: Mapping[str, Any] | None) -> Finding:
    """What the running gateway says about itself; None: there is none."""
    if answer is None:
        return Finding("gateway", "warn", NONE_RUNS, "start it with `gateway serve`, or name its address with --url")
    if "config" in answer:
        return Finding("gateway", "warn", f"{answer['status']}; its file: {answer['config']}", "run `gateway check`")
    checked = f"; its store: {answer['store']}" if "store" in answer else ""
    return Finding("gateway", "ok", f"{answer['status']}{checked}")


async def _reached(config: Config) -> Sequence[Finding]:
    # All at once: those that hang would add up.
    return await asyncio.gather(
        *(_destination(each, config) for each in config.destinations.values() if each.target.url)
    )


async def _destination(each: Destination, config: Config) -> Finding:
    if each.name in config.inboxes:
        return Finding(each.name, "ok", "its url is not set: requests are recorded in the inbox")
    if each.oauth is not None and not each.oauth.is_kept:
        from gateway.cli import logins

        if (finding := await logins.tried(each, config)) is not None:
            return Finding(*finding)
    from gateway.egress.reach import ask, reach

    url, said = each.target.url, ""
    try:
        said = await reach(url, each.door, timeout_s=REACH_S)
        if not each.kind.is_mail:
            said += f", answers HEAD / with {await ask(url, each.door, timeout_s=REACH_S)}"
    except EgressError as error:
        # Some servers answer nothing but POST.
        answers_nothing = said and not isinstance(error, ConnectFailed | AddressBlocked)
        reason = config.masks.text(f"{said}, but HEAD / failed: {error}" if said else str(error))
        if answers_nothing:
            return Finding(
                each.name, "warn", reason, "check that an HTTP server is there; ignore this if deliveries arrive"
            )
        return Finding(each.name, "fail", reason, "check its url, DNS and firewalls")
    return Finding(each.name, "ok", config.masks.text(said))
