"""Versions: which models exist and which of them serve, which the database alone knows; and the trials of new ones.

A trial compares a version with the one before it by live ratings. A base has one open trial at most; it begins and ends
in the very transaction that changes who serves. A version is tainted when its run is (`storage.tables.runs`): it is
never gone back to, leaves service, and then its files are destroyed.
"""

import json
from datetime import datetime
from sqlite3 import Connection

from storage.db.database import first, read, records, value, write
from storage.db.records import AuditEntry, Trial, TrialMode, TrialRating, TrialResult, Version, VersionState
from storage.tables import moderation, runs
from storage.tables.people import agreed

_BY_RATINGS = "ratings"
"""Who stands in the audit where nobody but the ratings has decided."""
_BY_ERASURE = "forgetting"
"""Who stands in the audit where a version left because somebody is forgotten or banned."""

_VERSIONS = "SELECT v.*, r.tainted_at FROM versions v LEFT JOIN runs r ON r.id = v.run"
_CLEAN = "v.destroyed_at IS NULL AND r.tainted_at IS NULL"
_TRIALS = "SELECT id, version, reference, way AS mode, began_at, outcome, serves AS champion, numbers FROM trials"
_TRIAL_RATINGS = f"""
    SELECT r.generation, r.rater, r.value, g.chat, g.author = r.rater AS is_own, p.first_seen_at AS rater_first_seen_at
    FROM generations g JOIN ratings r ON r.generation = g.id JOIN people p ON p.person = r.rater
    WHERE g.version = :version AND g.created_at >= :since AND g.created_at < :before AND r.value IS NOT NULL
        AND {agreed("r.rater")}
    ORDER BY r.generation DESC, r.rater LIMIT :most
"""  # noqa: S608 - of our own


@write
def register_base(connection: Connection, base: str, *, at: datetime) -> None:
    """Make sure the base stands as a version, and that some version of it is the champion."""
    connection.execute(
        "INSERT INTO versions (name, base, state, created_at) VALUES (?, ?, 'retired', ?) ON CONFLICT DO NOTHING",
        (base, base, at),
    )
    if in_state(connection, base, "champion") is None:
        _set_state(connection, base, "champion", at)


@write
def add(connection: Connection, version: Version) -> bool:
    """Record a version that a run has published; a second attempt of the same run changes nothing.

    False, and nothing recorded: its run is tainted.
    """
    if value(str, connection.execute("SELECT tainted_at FROM runs WHERE id = ?", (version.run,))) is not None:
        return False
    connection.execute(
        "INSERT INTO versions (name, base, run, state, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (version.name, version.base, version.run, version.state, version.created_at),
    )
    return True


@read
def by_name(connection: Connection, name: str) -> Version | None:
    """The version with this name."""
    return first(Version, connection.execute(f"{_VERSIONS} WHERE v.name = ?", (name,)))


@read
def of_base(connection: Connection, base: str | None) -> list[Version]:
    """Every version of a base, or of all, newest first."""
    query = f"{_VERSIONS} WHERE v.base = coalesce(?, v.base) ORDER BY v.created_at DESC, v.name"
    return records(Version, connection.execute(query, (base,)))


@read
def in_state(connection: Connection, base: str, state: VersionState) -> Version | None:
    """The newest version of a base in a state."""
    query = f"{_VERSIONS} WHERE v.base = ? AND v.state = ? ORDER BY v.created_at DESC LIMIT 1"
    return first(Version, connection.execute(query, (base, state)))


@read
def previous_champion(connection: Connection, base: str) -> Version | None:
    """The version that was champion before the present one, and that may be gone back to."""
    query = (
        f"{_VERSIONS} WHERE v.base = ? AND v.state = 'retired' AND v.served_at IS NOT NULL AND {_CLEAN}"
        " ORDER BY v.served_at DESC LIMIT 1"
    )
    return first(Version, connection.execute(query, (base,)))


@read
def latest_champion(connection: Connection) -> str | None:
    """The name of the champion that was promoted last, of whatever base."""
    query = "SELECT name FROM versions WHERE state = 'champion' ORDER BY served_at DESC LIMIT 1"
    return value(str, connection.execute(query))


@read
def learned_base(connection: Connection) -> str | None:
    """The base of the champion that was promoted last; None where that is a base that has learned nothing."""
    query = "SELECT nullif(base, name) FROM versions WHERE state = 'champion' ORDER BY served_at DESC LIMIT 1"
    return value(str, connection.execute(query))


@read
def all_names(connection: Connection) -> frozenset[str]:
    """The names of all versions there have been."""
    return frozenset(name for (name,) in connection.execute("SELECT name FROM versions"))


@read
def servable(connection: Connection) -> list[Version]:
    """Versions that serve, wait for it, or can be gone back to, newest first."""
    query = (
        f"{_VERSIONS} WHERE (v.state <> 'retired' OR v.served_at IS NOT NULL) AND {_CLEAN}"
        " ORDER BY v.created_at DESC, v.name"
    )
    return records(Version, connection.execute(query))


@write
def promote(connection: Connection, name: str, *, at: datetime) -> None:
    """Make a version the champion of its base; the old champion and any canary retire.

    An open trial is broken off. A version that serves for the first time is watched: its trial against the old champion
    begins.
    """
    base, served_at = connection.execute("SELECT base, served_at FROM versions WHERE name = ?", (name,)).fetchone()
    before = in_state(connection, base, "champion")
    _break_off_trial(connection, base, at)
    _make_champion(connection, base, name, at)
    if served_at is None and before is not None and name not in (base, before.name):
        _begin_trial(connection, base, name, "watch", before.name, at)


@write
def make_canary(connection: Connection, name: str, *, at: datetime) -> None:
    """Give a version a slice of the traffic, beside the champion; an earlier canary of the base retires."""
    (base,) = connection.execute("SELECT base FROM versions WHERE name = ?", (name,)).fetchone()
    champion = in_state(connection, base, "champion")
    _break_off_trial(connection, base, at)
    connection.execute("UPDATE versions SET state = 'retired' WHERE state = 'canary' AND base = ?", (base,))
    _set_state(connection, name, "canary", at)
    if champion is not None and champion.name != name:
        _begin_trial(connection, base, name, "canary", champion.name, at)


@write
def retire(connection: Connection, name: str, *, at: datetime) -> None:
    """Take a version out of service; its trial is broken off. The champion cannot be retired, only replaced."""
    query = "UPDATE versions SET state = 'retired' WHERE name = ? AND state <> 'champion' RETURNING base"
    base = value(str, connection.execute(query, (name,)))
    if base is not None and (trial := open_trial(connection, base)) is not None and trial.version == name:
        _break_off_trial(connection, base, at)


@write
def discard(connection: Connection, name: str) -> None:
    """A version cannot serve any more: nobody goes back to it."""
    connection.execute("UPDATE versions SET state = 'retired', served_at = NULL WHERE name = ?", (name,))


@read
def open_trial(connection: Connection, base: str) -> Trial | None:
    """The trial of a base that is under way."""
    return first(Trial, connection.execute(f"{_TRIALS} WHERE base = ? AND outcome IS NULL", (base,)))


@read
def trial_ratings(
    connection: Connection, version: str, *, since: datetime, before: datetime, most: int
) -> list[TrialRating]:
    """Consented ratings of the texts that were asked for from `since` until `before`, newest texts first."""
    values = {"version": version, "since": since, "before": before, "most": most}
    return records(TrialRating, connection.execute(_TRIAL_RATINGS, values))


@write
def finish_trial(connection: Connection, base: str, result: TrialResult, *, at: datetime) -> bool:
    """End the trial of a base as the ratings say, on its run and in the audit as well, and let serve who is to.

    False: it is not open any more.
    """
    trial = open_trial(connection, base)
    if trial is None or trial.id != result.trial:
        return False
    champion = in_state(connection, base, "champion")
    if champion is None or champion.name != result.champion:
        _make_champion(connection, base, result.champion, at)
    if result.outcome in ("rolled_back", "inconclusive"):  # nobody goes back to what people liked less
        discard(connection, trial.version)
    numbers = json.dumps(result.numbers)
    connection.execute(
        "UPDATE trials SET outcome = ?, serves = ?, numbers = ?, ended_at = ? WHERE id = ?",
        (result.outcome, result.champion, numbers, at, trial.id),
    )
    moderation.append_audit(connection, AuditEntry(at, _BY_RATINGS, result.outcome, trial.version))
    if result.verdict is not None:
        connection.execute(
            "UPDATE runs SET verdict = ?, reason = ?, version = ?, numbers = json_patch(numbers, ?)"
            " WHERE state = 'ended' AND id = (SELECT run FROM versions WHERE name = ?)",
            (result.verdict, result.reason, result.champion, numbers, trial.version),
        )
    return True


@write
def redate_trials(connection: Connection, *, now: datetime) -> None:
    """Let open trials that begin later than now begin now: the clock was ahead when they began."""
    connection.execute("UPDATE trials SET began_at = ? WHERE outcome IS NULL AND began_at > ?", (now, now))


@read
def unannounced_trials(connection: Connection) -> list[Trial]:
    """Trials that the ratings have ended and that are not announced yet, oldest first."""
    return records(Trial, connection.execute(f"{_TRIALS} WHERE outcome IS NOT NULL AND NOT is_told ORDER BY id"))


@write
def mark_trial_announced(connection: Connection, trial: int) -> None:
    """The admins know how a trial ended."""
    connection.execute("UPDATE trials SET is_told = 1 WHERE id = ?", (trial,))


@read
def tainted_serving(connection: Connection, base: str) -> list[Version]:
    """The tainted versions of a base that serve."""
    return [v for v in of_base(connection, base) if v.tainted_at and v.state in ("champion", "canary")]


@read
def needed_runs(connection: Connection) -> frozenset[int]:
    """The runs of the versions that serve, wait for it, or are gone back to, of every base; and one under way."""
    bases = [base for (base,) in connection.execute("SELECT DISTINCT base FROM versions")]
    wanted = [previous_champion(connection, base) for base in bases]
    wanted += [in_state(connection, base, state) for base in bases for state in ("champion", "canary", "candidate")]
    running = runs.running(connection)
    of_versions = {version.run for version in wanted if version is not None and version.run is not None}
    return frozenset(of_versions | ({running.id} if running else set()))


@write
def retire_tainted(connection: Connection, base: str, *, successor: str, at: datetime) -> None:
    """Take the tainted versions of a base out of service; `successor` is champion where one was."""
    for version in tainted_serving(connection, base):
        _break_off_trial(connection, base, at)
        if version.state == "champion":
            _make_champion(connection, base, successor, at)
        discard(connection, version.name)
        moderation.append_audit(connection, AuditEntry(at, _BY_ERASURE, "took out of service", version.name))


@read
def to_destroy(connection: Connection, *, old_before: datetime) -> list[Version]:
    """Versions of every base whose files are to go: out of service, and tainted or made before a moment."""
    return [
        version
        for version in of_base(connection, None)
        if version.run is not None
        and version.destroyed_at is None
        and version.state in ("candidate", "retired")
        and (version.tainted_at is not None or version.created_at < old_before)
    ]


@write
def mark_destroyed(connection: Connection, name: str, *, at: datetime) -> None:
    """A version's files are gone."""
    discard(connection, name)
    connection.execute("UPDATE versions SET destroyed_at = ? WHERE name = ?", (at, name))
    moderation.append_audit(connection, AuditEntry(at, _BY_ERASURE, "destroyed", name))


def _make_champion(connection: Connection, base: str, name: str, at: datetime) -> None:
    """Let a version serve in the place of its base's champion and canary; trials are the caller's."""
    connection.execute(
        "UPDATE versions SET state = 'retired' WHERE state IN ('champion', 'canary') AND base = ?", (base,)
    )
    _set_state(connection, name, "champion", at)


def _set_state(connection: Connection, name: str, state: VersionState, at: datetime) -> None:
    # Only a champion's date is kept: /rollback goes to the version that was champion last.
    served_at = at if state == "champion" else None
    connection.execute(
        "UPDATE versions SET state = ?, served_at = coalesce(?, served_at) WHERE name = ?", (state, served_at, name)
    )


def _begin_trial(connection: Connection, base: str, version: str, mode: TrialMode, old: str, at: datetime) -> None:
    connection.execute(
        "INSERT INTO trials (base, version, reference, way, began_at) VALUES (?, ?, ?, ?, ?)",
        (base, version, old, mode, at),
    )


def _break_off_trial(connection: Connection, base: str, at: datetime) -> None:
    """End an open trial without a finding: a person, or a newer version, has decided."""
    connection.execute(
        "UPDATE trials SET outcome = 'broken_off', is_told = 1, ended_at = ? WHERE base = ? AND outcome IS NULL",
        (at, base),
    )
