"""The second stage of machines that have no time for on-policy steps: the best of many texts that were written once."""

import torch

from engine.evaluation.sampling import Replies
from engine.models.logprobs import Encoded
from engine.training.best_of_pool import best_takes
from tests.engine.training.test_train import train_on
from tests.support.learning.learning_fixtures import audience


def test_the_best_take_of_each_prompt_is_the_liked_one_unless_it_says_what_others_say():
    rows = tuple(Encoded((1,), completion) for completion in ((5, 6, 7), (8, 9, 10), (5, 6, 7), (5, 6, 7)))
    replies = Replies(rows=rows, texts=("",) * 4, prompts=(), owners=(0, 1, 0, 1))
    liking = torch.tensor([0.2, 0.5, 0.9, 0.6])
    assert best_takes(replies, liking, 0.0) == [2, 3]
    assert best_takes(replies, liking, 4.0) == [2, 1]


def test_a_pool_teaches_the_taste_within_the_budget(taught, tmp_path):
    report = train_on(tmp_path, audience(120), taught, policy_steps=0, pool_texts=256, takes=8, epochs=1)
    assert report.reason.numbers["gain"] > 0.05
    assert len(report.curves["liking"]) == 1
    assert report.curves["kl"][-1] <= 2.5
