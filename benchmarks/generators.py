"""What the recipes made of the small generators: a table and curves from folders by `recipes.latent.build`.

    python -m recipes.latent.build vae --recipe plain --out build/plain     (and so on)
    python -m benchmarks.generators docs/models-training.png vae=engine/starter/vae collapsed=build/plain ...

Reads the file that lies in each folder; trains nothing.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import Table
from recipes.latent.build import CURVES_FILE
from recipes.latent.measure import SAMPLINGS

_PANELS = (
    ("KL of the latent, nats a text", ("kl",)),
    ("reconstruction, nats a text", ("reconstruction",)),
    ("L_G and L_D, nats a token", ("L_G", "L_D")),
    ("accuracy of D", ("accuracy",)),
)


def main(arguments: Sequence[str]) -> int:
    """Draw the picture that is named first, of the folders named after it, and print the tables."""
    picture, *named = arguments
    found = {name: _told(Path(folder)) for name, folder in (each.split("=", 1) for each in named)}
    for table in (writing(found), latents(found)):
        sys.stdout.write(f"{table.markdown()}\n\n")
    draw(found, Path(picture))
    return 0


def writing(found: dict[str, dict[str, Any]]) -> Table:
    """How each writes, by how it is sampled."""
    rows = []
    for name, told in found.items():
        for sampling, _, _ in SAMPLINGS:
            cells = told["measured"][sampling]
            shares = [cells[key] for key in ("well_formed", "distinct", "distinct_open", "new", "new_open")]
            rows.append([name, sampling, *(f"{share:.1%}" for share in shares)])
    columns = ["recipe", "sampled", "well-formed", "distinct", "… topic open", "not in the corpus", "… topic open"]
    note = "1,000 prompts of another seed, less those whose text is longer than what the recipe learns from."
    return Table("Recipes", note, columns, rows)


def latents(found: dict[str, dict[str, Any]]) -> Table:
    """What the latents hold."""
    columns = ["recipe", "-log p(x)", "reconstruction", "KL", "active units", "mutual information", "steps", "minutes"]
    rows = []
    for name, told in found.items():
        measured = told["measured"]
        numbers = [measured.get(key) for key in ("likelihood", "reconstruction", "kl", "active_units")]
        numbers.append(measured.get("mutual_information"))
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        rows.append([name, *cells, f"{told['steps']:,}", f"{told['seconds'] / 60:.1f}"])
    return Table("Latents", "Nats a text, on texts of another seed.", columns, rows)


def draw(found: dict[str, dict[str, Any]], picture: Path) -> None:
    """Curves over the steps of training."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        _panel(axes, title, keys, found)
    figure.savefig(picture, dpi=110)


def _panel(axes: Axes, title: str, keys: Sequence[str], found: dict[str, dict[str, Any]]) -> None:
    for name, told in found.items():
        for key in keys:
            if values := told["curves"].get(key):
                label = name if len(keys) == 1 else f"{name}: {key}"
                axes.plot([100 * (place + 1) for place in range(len(values))], values, label=label)
    axes.set_title(title)
    axes.set_xlabel("steps")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if axes.get_lines():
        axes.legend(frameon=False)


def _told(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / CURVES_FILE).read_text(encoding="utf-8"))
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
