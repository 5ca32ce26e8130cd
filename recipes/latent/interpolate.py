"""Walk from one text to another in a VAE's latent: `python -m recipes.latent.interpolate "one text" "another"`.

Prints each text as the VAE gives it back, and the likeliest texts at even steps in between. A topic can be named, which
both texts hold: it stays open in between.
"""

import argparse
import sys
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.api.models import resolve_model
from engine.api.types import Message
from engine.errors import ModelError
from engine.latent.model import padded
from engine.latent.slots import fill, lift
from engine.latent.vae import VaeLM
from engine.models.loader import load_base
from recipes import corpus
from recipes.grammar import Language

_LONGEST = 48


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the way from one text to another, a text a line; returns the exit status."""
    program = "python -m recipes.latent.interpolate"
    parser = argparse.ArgumentParser(prog=program, description="Walk from one text to another.")
    parser.add_argument("texts", nargs=2, metavar="TEXT")
    parser.add_argument("--model", default="vae", help="a VAE: vae, or a folder (default: vae)")
    parser.add_argument("--topic", default="", help="what both texts are about, as they name it")
    parser.add_argument("--kind", default="slogan", choices=("slogan", "title", "poem"))
    parser.add_argument("--steps", type=int, choices=range(2, 33), metavar="2..32", default=5)
    options = parser.parse_args(arguments)
    try:
        lines = walk(options.model, options.texts, options.topic, kind=options.kind, steps=options.steps)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


@torch.no_grad()
def walk(source: str, texts: Sequence[str], topic: str, *, kind: str, steps: int) -> list[str]:
    """The likeliest texts at even steps from the first text's latent to the second's, line breaks as ` / `.

    Raises:
        ModelError: there is no such model, it is no VAE, or a text is empty or too long.
    """
    resolve_model(source)
    base = load_base(source)
    model = base.model
    if not isinstance(model, VaeLM):
        raise ModelError(f"The model {source!r} is no VAE: only a VAE has a latent space to walk through.")
    open_texts = [lift(text.strip(), topic) for text in texts]
    ids = [
        [*row, base.tokenizer.eos_token_id] for row in base.tokenizer(open_texts, add_special_tokens=False)["input_ids"]
    ]
    if not all(1 < len(row) <= _LONGEST for row in ids):
        raise ModelError(
            f"Give two texts of 1 to {_LONGEST - 1} tokens each; these have {len(ids[0]) - 1} and {len(ids[1]) - 1}."
        )
    language: Language = "en" if texts[0].isascii() else "zh"
    asked = (Message("system", corpus.instructions(kind, language)[0]), Message("user", topic))
    prompt = base.template.encode(asked)
    context = padded([prompt[: prompt.index(model.config.open_id)]]).expand(steps, -1)
    one, other = model.encode(padded(ids)).mean
    drawn = model.write(model.context_of(context, between(one, other, steps)), longest=_LONGEST, temperature=0.0)
    written: list[str] = base.tokenizer.batch_decode(drawn, skip_special_tokens=True)
    return [fill(text, topic).replace("\n", " / ") for text in written]


if __name__ == "__main__":
    sys.exit(main())


def between(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Latents on the great circle from one (latent,) to another, (steps, latent): slerp (White 2016, arXiv 1609.04468).

    A straight line would pass near 0, where the prior of many dimensions has hardly any mass.
    """
    cosine = F.cosine_similarity(start, end, dim=0).clamp(-0.999, 0.999)
    angle = torch.arccos(cosine)
    shares = torch.linspace(0.0, 1.0, steps)[:, None]
    return (torch.sin((1.0 - shares) * angle) * start + torch.sin(shares * angle) * end) / torch.sin(angle)
