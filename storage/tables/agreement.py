"""Agreement: under which condition something that a person has said of a text may be learned from, now. Knows SQL."""

INLINE_TEXT = 2
"""The first version of the consent text that speaks of inline mode; who has agreed to an earlier one agreed to less."""


_IS_OFFERED = "EXISTS (SELECT 1 FROM offers o WHERE o.generation = g.id)"


def opted_in(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: their yes counts for that text, now.

    The yes of the chat where the text stands. Of a take of inline mode nobody knows where it stands, so there it is the
    one of the person's own private chat, if it was given to a question that spoke of inline mode.
    """
    return f"""EXISTS (
        SELECT 1 FROM consents c WHERE c.person = {person} AND c.revoked_at IS NULL
            AND c.chat = CASE WHEN {_IS_OFFERED}
                THEN (SELECT h.chat FROM homes h WHERE h.person = {person}) ELSE g.chat END
            AND (c.text_version >= {INLINE_TEXT} OR NOT {_IS_OFFERED})
    )"""  # noqa: S608 - of our own


def agreed(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: a rater, or who gave a signal.

    They and the author have opted in; so has everybody whose words the text repeats; none of them is shut out; the text
    still has its words, and no report hides it.
    """
    return f"""(
        {opted_in("g.author")} AND {opted_in(person)}
        AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, {person}))
        AND g.text IS NOT NULL AND coalesce(g.standing, 'cleared') = 'cleared'
        AND g.id NOT IN (SELECT id FROM quoting)
    )"""  # noqa: S608 - of our own
