"""A kind is a few lines in a file; a mistake in them is named."""

from pathlib import Path

import pytest

from bot.kinds import language_of_topic, load_kinds


def test_the_shipped_kinds_are_complete() -> None:
    kinds = load_kinds()
    assert list(kinds.by_name) == ["write", "slogan", "poem", "story", "post", "pitch", "title", "character"]
    assert kinds.default.name == "write"
    for kind in kinds.by_name.values():
        assert all(1 <= len(text) <= 256 for text in kind.description.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[Limerick]\nemoji = "x"\nmax_tokens = 9', "cannot be a command"),
        ('[limerick]\nemoji = "x"', "max_tokens"),
        ('[limerick]\nemoji = "x"\nmax_tokens = 9\ndescription.en = "A limerick"', "description in each of en, zh"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_kinds(file)


@pytest.mark.parametrize(
    ("topic", "language"), [("绿茶", "zh"), ("green tea", "en"), ("a 茶 house", "zh"), ("12", "en")]
)
def test_the_topic_decides_the_language_of_the_text(topic: str, language: str) -> None:
    assert language_of_topic(topic) == language
