"""A generative adversarial network that writes: the essay's two losses, on texts (Goodfellow et al. 2014, arXiv
1406.2661, equation 1 and section 3).

With G(z) a text from noise z and a prompt, and D the chance that a text is real, as the essay prints them::

    L_G = -E[log D(G(z))]                                   the non-saturating loss of the generator
    L_D = -E[log D(x)] - E[log(1 - D(G(z)))]                the essay's, with its sign turned: minimised

A text is a sequence of choices, so D judges every prefix: D(y_<=t) is the chance that the next token, after what came
before, was taken from a real text (dense rewards: de Masson d'Autume et al. 2019, arXiv 1905.09922), and both losses
are means over tokens. Tokens are discrete and have no gradient; but the expectation over the next one does, and it is
exact, for one pass of D scores the whole vocabulary::

    E[log D] = sum_a G(a | y_<t, z) log D(y_<t, a)

G moves towards what D takes for the real texts' next token, G(a) D(a) / (1 - D(a)) normalised (MaliGAN: Che et al.
2017, arXiv 1702.07983; here exact over the vocabulary): the gradient of L_G itself vanishes for tokens that G
hardly ever writes. Both are asked for on the prefixes of real texts, where D can tell good next tokens from bad ones
from the first step on: that is the cure against collapse that measured best. On texts that G writes by itself L_G is
followed as it stands, with the score function (Williams 1992) for what comes later, its rewards discounted and less a
baseline for each position. No likelihood is trained: G is never told which token is the real one, only what D thinks
of each.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)

from engine.latent.model import PAD_ID, LatentConfig, LatentLM

LEAST_LOG_D: Final = -3.0  # rewards are clipped there: what is wrong anyway need not be wronger
MOST_LOG_ODDS: Final = 3.0
"""As far as D is believed: a token becomes 20 times likelier in a step at most, or less."""
SMOOTHING: Final = 0.9
"""The label of what is real (one-sided label smoothing: Salimans et al. 2016, arXiv 1606.03498, section 3.4)."""
OUT_OF_PLACE: Final = 0.05
"""The weight of tokens from anywhere in real texts as fakes, beside the generator's own: what it hardly ever writes
would not be judged otherwise (matching-aware discriminator: Reed et al. 2016, arXiv 1605.05396, section 4.2)."""
DISCOUNT: Final = 0.65


class GanConfig(LatentConfig):
    """The sizes of a GAN."""

    model_type = "ovation-gan"


class GanLM(LatentLM):
    """Generator and discriminator."""

    config_class = GanConfig

    def __init__(self, config: GanConfig) -> None:
        super().__init__(config)
        self.discriminator = Discriminator(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def generator_parameters(self) -> list[nn.Parameter]:
        """All that writes."""
        return [weight for name, weight in self.named_parameters() if not name.startswith(("discriminator", "tilt"))]


class Discriminator(nn.Module):
    """log-odds that a token is real, for every token that could come next; a GRU over prompt and text."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.start_id = config.start_id
        self.embedding = nn.Embedding(config.vocab_size, hidden, padding_idx=PAD_ID)
        self.asked = nn.Linear(config.context_size, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, config.vocab_size)
        self.dropout = nn.Dropout(0.1)

    def forward(self, asked: Tensor, texts: Tensor) -> Tensor:
        """(B, T, V): the log-odds of every next token after each proper prefix of the texts (B, T).

        `asked` is what the generator makes of the prompts, without its noise, (B, context).
        """
        start = torch.full_like(texts[:, :1], self.start_id)
        embedded = self.embedding(torch.cat([start, texts[:, :-1]], dim=1))
        states, _ = self.gru(self.dropout(embedded), torch.tanh(self.asked(asked))[None])
        log_odds: Tensor = self.head(self.dropout(states))
        return log_odds


class Losses(NamedTuple):
    """One step of both sides."""

    generator: Tensor  # L_G, nats a token
    discriminator: Tensor  # L_D, nats a token
    accuracy: Tensor  # the share of tokens, half of them real, that D tells right


class AdversarialTraining:
    """Trains both sides a step at a time, on batches of real texts."""

    def __init__(self, model: GanLM, generator: torch.optim.Optimizer, discriminator: torch.optim.Optimizer) -> None:
        self._model = model
        self._generator, self._discriminator = generator, discriminator
        self._baseline = torch.zeros(0)

    def step(self, prompts: Tensor, real: Tensor, *, free: float, wrong: tuple[Tensor, Tensor] | None = None) -> Losses:
        """One step each on real texts (B, T); `free` weighs the generator's own texts beside the real prefixes.

        `wrong` are prompts and texts that are not real either, beside what the generator writes.
        """
        model, judge = self._model, self._model.discriminator
        noise = torch.randn(len(prompts), model.config.latent_size, device=prompts.device)
        context = model.context_of(prompts, noise)
        asked = self._asked(context)
        mask, log_odds = _mask(real), judge(asked, real)
        log_probs = model.text_logits(context, real).log_softmax(2)
        guesses, good = log_probs.detach().exp(), _taken(log_odds, real)
        usual = torch.bincount(real[real != PAD_ID], minlength=guesses.shape[2]).float()
        fakes = guesses + OUT_OF_PLACE * usual / usual.sum()
        mistaken = (fakes * F.softplus(log_odds)).sum(2)  # E[-log(1 - D)] of the generator's next token
        loss_d = _mean(_surprise(good, SMOOTHING) + mistaken, mask)
        loss_g = -_mean(_expected(log_probs, _rewards(log_odds)), mask)
        towards = _mean(_towards(log_probs, log_odds), mask)
        if free:
            lost, gained = self._free(context, asked, longest=real.shape[1])
            loss_d, towards = loss_d + lost, towards - free * gained
        if wrong is not None:
            asked_then = self._asked(model.context_of(wrong[0], noise.new_zeros(len(wrong[0]), noise.shape[1])))
            loss_d = loss_d + _mean(_surprise(_taken(judge(asked_then, wrong[1]), wrong[1]), 0.0), _mask(wrong[1]))
        _step(self._discriminator, loss_d)
        _step(self._generator, towards)
        right = (good > 0).float() + (guesses * (log_odds < 0).float()).sum(2)
        accuracy = 0.5 * _mean(right, mask)
        return Losses(loss_g.detach(), loss_d.detach(), accuracy.detach())

    def _free(self, context: Tensor, asked: Tensor, *, longest: int) -> tuple[Tensor, Tensor]:
        """On texts that the generator writes by itself: D's loss, and what G gains, the score function's part too."""
        model = self._model
        own = model.write(context, longest=longest)
        mask, log_odds = _mask(own), model.discriminator(asked, own)
        log_probs = model.text_logits(context, own).log_softmax(2)
        rewards = _rewards(log_odds)
        later = self._advantages(_taken(rewards, own) * mask, mask) * _taken(log_probs, own)
        return _mean(_surprise(_taken(log_odds, own), 0.0), mask), _mean(_expected(log_probs, rewards) + later, mask)

    def _asked(self, context: Tensor) -> Tensor:
        """What the generator makes of the prompts, without its noise; D has no say in it."""
        return context[:, self._model.config.latent_size :].detach()

    def _advantages(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """The discounted rewards of later tokens over what is usual at that position, (B, T)."""
        later = torch.zeros_like(rewards)
        for place in range(rewards.shape[1] - 2, -1, -1):
            later[:, place] = DISCOUNT * (rewards[:, place + 1] + later[:, place + 1])
        usual = (later * mask).sum(0) / mask.sum(0).clamp(min=1.0)
        grown = usual.new_zeros(max(len(usual), len(self._baseline)))
        grown[: len(self._baseline)] = self._baseline
        grown[: len(usual)] = 0.9 * grown[: len(usual)] + 0.1 * usual
        self._baseline = grown
        return later - grown[: len(usual)]


def _rewards(log_odds: Tensor) -> Tensor:
    """log D of every next token, (B, T, V)."""
    return F.logsigmoid(log_odds.detach()).clamp(min=LEAST_LOG_D)


def _expected(log_probs: Tensor, rewards: Tensor) -> Tensor:
    """E[log D] of the next token, (B, T)."""
    return (log_probs.exp() * rewards).sum(2)


def _towards(log_probs: Tensor, log_odds: Tensor) -> Tensor:
    """Cross-entropy to what D takes for the distribution of real texts, (B, T)."""
    believed = (log_probs + log_odds.clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)).detach().softmax(2)
    return -(believed * log_probs).sum(2)


def _mask(texts: Tensor) -> Tensor:
    return (texts != PAD_ID).float()


def _taken(every: Tensor, texts: Tensor) -> Tensor:
    """The values (B, T) of the tokens that were taken."""
    return every.gather(2, texts[..., None])[..., 0]


def _surprise(log_odds: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(log_odds, torch.full_like(log_odds, label), reduction="none")


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimizer.step()
