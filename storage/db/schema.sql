-- The schema, as migrations: never edit one that has been released, add one at the end. Not even the indentation may
-- change, for SQLite stores these texts. docs/decisions/0003-tables.md says why the tables look as they do.

-- migration: 0001 the loop

-- What Telegram sent, committed before it is confirmed.
CREATE TABLE inbox (
        update_id INTEGER PRIMARY KEY,
        received_at TEXT NOT NULL,
        body TEXT,
        state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'dead')),
        attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT
    ) STRICT;
CREATE INDEX inbox_new ON inbox (update_id) WHERE state = 'new';
-- Pseudonyms only: `person`, `author`, `rater` and `chat` are keyed hashes of Telegram ids.
CREATE TABLE people (
        person TEXT PRIMARY KEY,
        first_seen_at TEXT NOT NULL
    ) STRICT;
CREATE TABLE consents (
        person TEXT NOT NULL,
        chat TEXT NOT NULL,
        text_version INTEGER NOT NULL,
        granted_at TEXT NOT NULL,
        revoked_at TEXT,
        PRIMARY KEY (person, chat, granted_at)
    ) STRICT;
CREATE UNIQUE INDEX consents_current ON consents (person, chat) WHERE revoked_at IS NULL;
CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        slot TEXT UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('running', 'ended')),
        attempts INTEGER NOT NULL DEFAULT 1,
        verdict TEXT CHECK (verdict IN ('promoted', 'canary', 'rejected', 'skipped', 'failed')),
        reason TEXT,
        numbers TEXT NOT NULL DEFAULT '{}',
        ratings INTEGER NOT NULL DEFAULT 0,
        version TEXT,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        CHECK ((state = 'ended') = (verdict IS NOT NULL))
    ) STRICT;
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (state) WHERE state = 'running';
CREATE TABLE versions (
        name TEXT PRIMARY KEY,
        base TEXT NOT NULL,
        run INTEGER REFERENCES runs (id),
        state TEXT NOT NULL CHECK (state IN ('candidate', 'canary', 'champion', 'retired')),
        created_at TEXT NOT NULL,
        served_at TEXT
    ) STRICT;
CREATE UNIQUE INDEX versions_champion ON versions (base) WHERE state = 'champion';
CREATE TABLE generations (
        id INTEGER PRIMARY KEY,
        update_id INTEGER NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        chat TEXT NOT NULL,
        author TEXT NOT NULL,
        messages TEXT NOT NULL,
        parent INTEGER REFERENCES generations (id),
        state TEXT NOT NULL DEFAULT 'accepted'
            CHECK (state IN ('accepted', 'placed', 'written', 'delivered', 'failed')),
        version TEXT,
        seed INTEGER NOT NULL,
        text TEXT,
        created_at TEXT NOT NULL,
        delivered_at TEXT
    ) STRICT;
CREATE INDEX generations_author ON generations (author, created_at);
CREATE INDEX generations_open ON generations (id) WHERE state IN ('accepted', 'placed', 'written');
-- Tables with Telegram's own ids: what it takes to deliver and to recognise a reaction.
CREATE TABLE deliveries (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        chat_id INTEGER NOT NULL,
        thread_id INTEGER,
        reply_to INTEGER NOT NULL,
        message_id INTEGER,
        language TEXT NOT NULL,
        UNIQUE (chat_id, message_id)
    ) STRICT;
CREATE TABLE announcements (
        run INTEGER NOT NULL REFERENCES runs (id),
        chat_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        language TEXT NOT NULL,
        PRIMARY KEY (run, chat_id)
    ) STRICT;
CREATE TABLE rating_events (
        update_id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('reaction', 'button')),
        value REAL CHECK (value BETWEEN -1 AND 1),
        emoji TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
-- The current verdict; value is null where the last word was taken back or says nothing.
CREATE TABLE ratings (
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        source TEXT NOT NULL,
        value REAL CHECK (value BETWEEN -1 AND 1),
        emoji TEXT NOT NULL,
        at TEXT NOT NULL,
        update_id INTEGER NOT NULL,
        PRIMARY KEY (generation, rater)
    ) STRICT;
CREATE TABLE lineage (
        run INTEGER NOT NULL REFERENCES runs (id),
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        PRIMARY KEY (run, generation, rater)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE slots (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        seen_at TEXT NOT NULL
    ) STRICT;

-- migration: 0002 trust

-- What admins and the operator did, by pseudonym; nothing that people wrote. Nobody can rewrite it.
CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT ''
    ) STRICT;
CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END;
CREATE TRIGGER audit_stands BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END;
CREATE TABLE bans (
        person TEXT PRIMARY KEY,
        at TEXT NOT NULL
    ) STRICT;
-- Reactions to a message whose id is not committed yet; matched when it is, dropped when nothing waits for one.
CREATE TABLE early_reactions (
        update_id INTEGER PRIMARY KEY,
        chat_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        rater TEXT NOT NULL,
        value REAL CHECK (value BETWEEN -1 AND 1),
        emoji TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
CREATE INDEX deliveries_unplaced ON deliveries (chat_id) WHERE message_id IS NULL;
-- Without these, every row that is erased costs a look at every other (foreign keys).
CREATE INDEX generations_parent ON generations (parent) WHERE parent IS NOT NULL;
CREATE INDEX rating_events_generation ON rating_events (generation);
CREATE INDEX lineage_generation ON lineage (generation);
-- Changed only to find out whether the disk takes writes.
CREATE TABLE pulse (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), beats INTEGER NOT NULL) STRICT;
INSERT INTO pulse VALUES (1, 0);

-- migration: 0003 verdicts

-- A verdict is settled from all that one person said to one text.
CREATE INDEX rating_events_of_person ON rating_events (generation, rater);
DROP INDEX rating_events_generation;

-- migration: 0004 tastes

-- How many texts the one that was shown was chosen from.
ALTER TABLE generations ADD COLUMN best_of INTEGER NOT NULL DEFAULT 1;
-- What a person has chosen for themselves, in one chat; who has chosen nothing has no row.
CREATE TABLE preferences (
        person TEXT NOT NULL,
        chat TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (person, chat, name)
    ) STRICT;
-- What people did with a text, which says a little of what they think of it.
CREATE TABLE signals (
        update_id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id),
        person TEXT NOT NULL,
        signal TEXT NOT NULL CHECK (signal IN ('another', 'refined')),
        at TEXT NOT NULL
    ) STRICT;
CREATE INDEX signals_generation ON signals (generation);
-- Why a text is disliked; verdict is the update id of the rating that it explains, and it stands while that does.
CREATE TABLE reasons (
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        verdict INTEGER NOT NULL,
        reason TEXT NOT NULL CHECK (reason IN ('boring', 'off_topic', 'too_long', 'wrong')),
        at TEXT NOT NULL,
        PRIMARY KEY (generation, rater)
    ) STRICT;

-- migration: 0005 trials

-- A version compared with the one before it, by live ratings; broken_off where somebody else has decided.
CREATE TABLE trials (
        id INTEGER PRIMARY KEY,
        base TEXT NOT NULL,
        version TEXT NOT NULL REFERENCES versions (name),
        reference TEXT NOT NULL REFERENCES versions (name),
        way TEXT NOT NULL CHECK (way IN ('canary', 'watch')),
        began_at TEXT NOT NULL,
        ended_at TEXT,
        outcome TEXT CHECK (outcome IN ('promoted', 'rolled_back', 'inconclusive', 'kept', 'broken_off')),
        serves TEXT,
        numbers TEXT NOT NULL DEFAULT '{}',
        is_told INTEGER NOT NULL DEFAULT 0,
        CHECK ((outcome IS NULL) = (ended_at IS NULL))
    ) STRICT;
CREATE UNIQUE INDEX trials_open ON trials (base) WHERE outcome IS NULL;
CREATE INDEX generations_version ON generations (version, created_at) WHERE version IS NOT NULL;

-- migration: 0006 keys

-- What people wrote lies encrypted from now on: see `storage.db.keyring`.
UPDATE generations SET messages = encrypted(author, messages), text = encrypted(author, text) WHERE author <> '';
UPDATE inbox SET body = encrypted('house', body) WHERE body IS NOT NULL;
-- A run that has learned from somebody who is forgotten since, or shut out; so the version that it made is tainted.
ALTER TABLE runs ADD COLUMN tainted_at TEXT;
-- A version whose files are gone for good.
ALTER TABLE versions ADD COLUMN destroyed_at TEXT;
-- Ratings of people without consent that are kept as numbers only.
ALTER TABLE generations ADD COLUMN likes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN dislikes INTEGER NOT NULL DEFAULT 0;
-- Groups that were asked for their consent.
CREATE TABLE asked (chat TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
-- Texts that repeat the words of somebody who does not agree, or no longer does, that they are learned from.
CREATE VIEW quoting AS
        WITH RECURSIVE above (id, parent) AS (
            SELECT id, parent FROM generations WHERE parent IS NOT NULL
            UNION SELECT a.id, g.parent FROM above a JOIN generations g ON g.id = a.parent WHERE g.parent IS NOT NULL
        )
        SELECT DISTINCT a.id FROM above a JOIN generations p ON p.id = a.parent
        WHERE EXISTS (SELECT 1 FROM bans b WHERE b.person = p.author) OR NOT EXISTS (
            SELECT 1 FROM consents c WHERE c.person = p.author AND c.chat = p.chat AND c.revoked_at IS NULL
        );

-- migration: 0007 reports

-- Who found a text unfit, and what has become of it: reported and hidden, hidden for good, or cleared by an admin.
CREATE TABLE reports (
        generation INTEGER NOT NULL REFERENCES generations (id),
        reporter TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (generation, reporter)
    ) STRICT;
CREATE INDEX reports_reporter ON reports (reporter, at);
ALTER TABLE generations ADD COLUMN standing TEXT CHECK (standing IN ('reported', 'hidden', 'cleared'));

-- migration: 0008 fingerprints

-- By which a text is found again; keyed hashes, see `engine.safety.near_copy`.
CREATE TABLE fingerprints (
        hash INTEGER NOT NULL,
        generation INTEGER NOT NULL REFERENCES generations (id),
        PRIMARY KEY (hash, generation)
    ) STRICT, WITHOUT ROWID;
CREATE INDEX fingerprints_generation ON fingerprints (generation);

-- migration: 0009 duels

-- Two texts for one prompt, each with the other; and which of the two a person likes better.
CREATE TABLE duels (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        rival INTEGER NOT NULL UNIQUE REFERENCES generations (id)
    ) STRICT;
CREATE TABLE choices (
        generation INTEGER NOT NULL REFERENCES generations (id),
        rater TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (generation, rater)
    ) STRICT, WITHOUT ROWID;
-- What people did with texts, a choice seen from both of its texts.
CREATE VIEW doings AS
        SELECT generation, person, signal, at FROM signals
        UNION ALL SELECT generation, rater, 'preferred', at FROM choices
        UNION ALL SELECT d.rival, c.rater, 'passed_over', c.at FROM choices c JOIN duels d USING (generation);

-- migration: 0010 nobody's reactions

-- Where a text is a channel's post: nobody asked for it by name.
ALTER TABLE deliveries ADD COLUMN is_channel INTEGER NOT NULL DEFAULT 0;
-- What Telegram counts without a name, {emoji: times}; only the newest totals of a text stand.
CREATE TABLE counted_reactions (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        totals TEXT NOT NULL,
        at TEXT NOT NULL,
        update_id INTEGER NOT NULL
    ) STRICT;
-- What anonymous admins did to a text, {emoji: 1 or -1}; the sum stands.
CREATE TABLE anonymous_reactions (
        update_id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id),
        change TEXT NOT NULL
    ) STRICT;
CREATE INDEX anonymous_reactions_generation ON anonymous_reactions (generation);

-- migration: 0011 offers

-- Takes that were offered in inline mode; who chooses or rates one names it by its token.
CREATE TABLE offers (
        generation INTEGER PRIMARY KEY REFERENCES generations (id),
        token TEXT NOT NULL UNIQUE
    ) STRICT;
-- The messages that show a chosen one, by Telegram's own ids; in which chats they are, Telegram does not tell.
CREATE TABLE inline_messages (
        inline_message_id TEXT PRIMARY KEY,
        generation INTEGER NOT NULL REFERENCES generations (id)
    ) STRICT;
CREATE INDEX inline_messages_generation ON inline_messages (generation);
-- A person's own private chat, both pseudonyms: what they have agreed to there counts for takes of inline mode.
CREATE TABLE homes (
        person TEXT PRIMARY KEY,
        chat TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;

-- migration: 0012 finish reasons

-- Whether the model ended its text itself ('stop') or ran out of tokens ('length'); NULL where nobody knows.
ALTER TABLE generations ADD COLUMN finish_reason TEXT;

-- migration: 0013 strangers' words

-- Whether the prompt repeats words of somebody who has asked for nothing: whose message it is to sum up or go on with.
ALTER TABLE generations ADD COLUMN quotes_stranger INTEGER NOT NULL DEFAULT 0;
DROP VIEW quoting;
-- Texts that repeat the words of somebody who does not agree, or no longer does, or was never asked.
CREATE VIEW quoting AS
        WITH RECURSIVE above (id, parent) AS (
            SELECT id, parent FROM generations WHERE parent IS NOT NULL
            UNION SELECT a.id, g.parent FROM above a JOIN generations g ON g.id = a.parent WHERE g.parent IS NOT NULL
        )
        SELECT DISTINCT a.id FROM above a JOIN generations p ON p.id = a.parent
        WHERE p.quotes_stranger OR EXISTS (SELECT 1 FROM bans b WHERE b.person = p.author) OR NOT EXISTS (
            SELECT 1 FROM consents c WHERE c.person = p.author AND c.chat = p.chat AND c.revoked_at IS NULL
        )
        UNION SELECT id FROM generations WHERE quotes_stranger;

-- migration: 0014 further messages

-- The messages that go on with a text that is too long for one, after that of its delivery.
CREATE TABLE further_messages (
        generation INTEGER NOT NULL REFERENCES generations (id),
        place INTEGER NOT NULL,
        chat_id INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        PRIMARY KEY (generation, place),
        UNIQUE (chat_id, message_id)
    ) STRICT, WITHOUT ROWID;
-- Every message that shows a generation, or is to show it.
CREATE VIEW shown_in AS
        SELECT generation, chat_id, message_id FROM deliveries WHERE message_id IS NOT NULL
        UNION ALL SELECT generation, chat_id, message_id FROM further_messages;

-- migration: 0015 bounds

-- How many earlier presses of the same person on the same text this one stands for; its value is then what stood
-- after it.
ALTER TABLE rating_events ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
CREATE INDEX early_reactions_of_person ON early_reactions (chat_id, rater, message_id);
