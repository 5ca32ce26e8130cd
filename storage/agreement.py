"""Agreement: under which condition something that a person has said of a text may be learned from, now. Knows SQL."""


def agreed(person: str) -> str:
    """A condition on a text `g` (generations) and on whom a column names: a rater, or who gave a signal.

    They and the author have opted in, in that chat; so has everybody whose words the text repeats; none of them is shut
    out; the text still has its words, and no report hides it.
    """
    return f"""(
        (SELECT count(*) FROM consents c WHERE c.chat = g.chat AND c.revoked_at IS NULL
            AND c.person IN (g.author, {person})) = (1 + (g.author <> {person}))
        AND NOT EXISTS (SELECT 1 FROM bans b WHERE b.person IN (g.author, {person}))
        AND g.text IS NOT NULL AND coalesce(g.standing, 'cleared') = 'cleared'
        AND g.id NOT IN (SELECT id FROM quoting)
    )"""  # noqa: S608 - of our own
