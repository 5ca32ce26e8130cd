"""Agreement: under which condition something that a person has said of a text may be learned from, now. Knows SQL."""

INLINE_TEXT = 2
"""The first version of the consent text that speaks of inline mode; who has agreed to an earlier one agreed to less."""


def place(person: str) -> str:
    """The chat in which a person's consent counts for a text `g` (generations): the one where it stands.

    Of a take of inline mode nobody knows where it stands, so there it is each person's own private chat.
    """
    return f"""CASE WHEN EXISTS (SELECT 1 FROM offers o WHERE o.generation = g.id)
        THEN (SELECT h.chat FROM homes h WHERE h.person = {person}) ELSE g.chat END"""  # noqa: S608 - of our own


def agreed(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: a rater, or who gave a signal.

    They and the author have opted in, in that chat; so has everybody whose words the text repeats; none of them is shut
    out; the text still has its words, and no report hides it.
    """
    return f"""(
        (SELECT count(*) FROM consents c WHERE c.revoked_at IS NULL AND c.person IN (g.author, {person})
            AND c.chat = {place("c.person")}
            AND (c.text_version >= {INLINE_TEXT} OR NOT EXISTS (SELECT 1 FROM offers o WHERE o.generation = g.id))
        ) = (1 + (g.author <> {person}))
        AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, {person}))
        AND g.text IS NOT NULL AND coalesce(g.standing, 'cleared') = 'cleared'
        AND g.id NOT IN (SELECT id FROM quoting)
    )"""  # noqa: S608 - of our own
