"""The schema, as a list of steps that only ever grows.

Never edit a step that has been released; add one. `docs/decisions/0003-tables.md` says why the tables look as they do.
"""

from storage.db.schema_loop import FIRST, SECOND, TASTES, THIRD, TRIALS

ENCRYPTING = "0006 keys"
"""The step from which on a database needs its keyring."""

_KEYS = (
    # What people wrote lies encrypted from now on: see `storage.db.keyring`.
    "UPDATE generations SET messages = encrypted(author, messages), text = encrypted(author, text) WHERE author <> ''",
    "UPDATE inbox SET body = encrypted('house', body) WHERE body IS NOT NULL",
    # A run that has learned from somebody who is forgotten since, or shut out; so the version that it made is tainted.
    "ALTER TABLE runs ADD COLUMN tainted_at TEXT",
    # A version whose files are gone for good.
    "ALTER TABLE versions ADD COLUMN destroyed_at TEXT",
    # Ratings of people without consent that are kept as numbers only.
    "ALTER TABLE generations ADD COLUMN likes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE generations ADD COLUMN dislikes INTEGER NOT NULL DEFAULT 0",
    # Groups that were asked for their consent.
    "CREATE TABLE asked (chat TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT",
    # Texts that repeat the words of somebody who does not agree, or no longer does, that they are learned from.
    """CREATE VIEW quoting AS
        WITH RECURSIVE above (id, parent) AS (
            SELECT id, parent FROM generations WHERE parent IS NOT NULL
            UNION SELECT a.id, g.parent FROM above a JOIN generations g ON g.id = a.parent WHERE g.parent IS NOT NULL
        )
        SELECT DISTINCT a.id FROM above a JOIN generations p ON p.id = a.parent
        WHERE EXISTS (SELECT 1 FROM bans b WHERE b.person = p.author) OR NOT EXISTS (
            SELECT 1 FROM consents c WHERE c.person = p.author AND c.chat = p.chat AND c.revoked_at IS NULL
        )""",
)

_REPORTS = (
    # Who found a text unfit, and what has become of it: reported and hidden, hidden for good, or cleared by an admin.
    """CREATE TABLE reports (
        generation INTEGER NOT NULL REFERENCES generations (id),
        reporter TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (generation, reporter)
    ) STRICT""",
    "CREATE INDEX reports_reporter ON reports (reporter, at)",
    "ALTER TABLE generations ADD COLUMN standing TEXT CHECK (standing IN ('reported', 'hidden', 'cleared'))",
)

_FINGERPRINTS = (
    # By which a text is found again; keyed hashes, see `engine.safety.fingerprint`.
    """CREATE TABLE fingerprints (
        hash INTEGER NOT NULL,
        generation INTEGER NOT NULL REFERENCES generations (id),
        PRIMARY KEY (hash, generation)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX fingerprints_generation ON fingerprints (generation)",
)

_DUELS = (
    # Two texts for one prompt, each with the other; and which of the two a person likes better.
    """CREATE TABLE duels (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        rival INTEGER NOT NULL UNIQUE REFERENCES generations (id)
    ) STRICT""",
    """CREATE TABLE choices (
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (generation, rater)
    ) STRICT, WITHOUT ROWID""",
    # What people did with texts, a choice seen from both of its texts.
    """CREATE VIEW doings AS
        SELECT generation, person, signal, at FROM signals
        UNION ALL SELECT generation, rater, 'preferred', at FROM choices
        UNION ALL SELECT d.rival, c.rater, 'passed_over', c.at FROM choices c JOIN duels d USING (generation)""",
)

_NOBODY = (
    # Where a text is a channel's post: nobody asked for it by name.
    "ALTER TABLE deliveries ADD COLUMN is_channel INTEGER NOT NULL DEFAULT 0",
    # What Telegram counts without a name, {emoji: times}; only the newest totals of a text stand.
    """CREATE TABLE counted_reactions (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        totals TEXT NOT NULL,
        at TEXT NOT NULL,
        update_id INTEGER NOT NULL
    ) STRICT""",
    # What anonymous admins did to a text, {emoji: 1 or -1}; the sum stands.
    """CREATE TABLE anonymous_reactions (
        update_id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id),
        change TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX anonymous_reactions_generation ON anonymous_reactions (generation)",
)

_OFFERS = (
    # Takes that were offered in inline mode; who chooses or rates one names it by its token.
    """CREATE TABLE offers (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        token TEXT NOT NULL UNIQUE
    ) STRICT""",
    # The messages that show a chosen one, by Telegram's own ids; in which chats they are, Telegram does not tell.
    """CREATE TABLE inline_messages (
        inline_message_id TEXT PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id)
    ) STRICT""",
    "CREATE INDEX inline_messages_generation ON inline_messages (generation)",
    # A person's own private chat, both pseudonyms: what they have agreed to there counts for takes of inline mode.
    """CREATE TABLE homes (
        person TEXT PRIMARY KEY,
        chat TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
)

MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("0001 the loop", FIRST),
    ("0002 trust", SECOND),
    ("0003 verdicts", THIRD),
    ("0004 tastes", TASTES),
    ("0005 trials", TRIALS),
    (ENCRYPTING, _KEYS),
    ("0007 reports", _REPORTS),
    ("0008 fingerprints", _FINGERPRINTS),
    ("0009 duels", _DUELS),
    ("0010 nobody's reactions", _NOBODY),
    ("0011 offers", _OFFERS),
)
