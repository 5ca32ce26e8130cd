"""Muon: momentum whose updates are made orthogonal, for the matrices of a small model; AdamW takes the rest.

Keller Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". torch.optim.Muon does the same in
bfloat16, which most CPUs only emulate. Knows tensors; knows nothing of models and schedules.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, from the article."""


class Muon(torch.optim.Optimizer):
    """Updates W by -lr * max(1, rows / columns) ** 0.5 * orthogonalised Nesterov momentum."""

    def __init__(
        self, matrices: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group)

    def _update(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].lerp_(gradient, 1 - momentum)
        update = orthogonal(gradient.lerp(state["momentum"], momentum))
        rows, columns = matrix.shape
        matrix.mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix, nearly: singular values come to between about 0.7 and 1.2.

    Args:
        matrix: of shape (m, n).
        steps: Newton-Schulz iterations.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (torch.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
