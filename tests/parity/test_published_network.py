"""The network agrees with the published one, in inference and in training steps.

Our network computes in float64 here, so that its results do not depend on the order in which a
processor adds. The remaining difference is the error of the published results, which are float32;
tests/golden/README.md states it for several processors.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crdnet.density import RainDensity
from crdnet.nn import CRDNetWithClassifier, load_published_with_classifier, translate_name
from crdnet.training.losses import Losses, MultiTaskLoss
from tests.parity.published import (
    golden_figures,
    golden_image,
    golden_names,
    write_checkpoints,
)

EPOCH = 7


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    write_checkpoints(root, EPOCH, ("stage1", "stage2", "refine", "classfy"))
    return root


@pytest.fixture(scope="module")
def network(checkpoints: Path) -> CRDNetWithClassifier:
    return load_published_with_classifier(checkpoints, EPOCH).double()


def make_image(name: str, count: int, height: int, width: int) -> Tensor:
    return golden_image(name, count, height, width).double()


def assert_agree(ours: Tensor, name: str, tolerance: float) -> None:
    np.testing.assert_allclose(
        ours.detach().numpy(),
        golden_figures()[name],
        rtol=0,
        atol=tolerance,
    )


def test_every_image_stage_agrees(network: CRDNetWithClassifier) -> None:
    rainy = make_image("eval", 2, 64, 96)
    with torch.inference_mode():
        assert_agree(network.network.streaks(rainy), "eval_streaks", 1e-4)
        assert_agree(network.network.background(rainy), "eval_background", 1e-4)
        assert_agree(network.network(rainy), "eval_derained", 1e-4)


def test_the_classifier_agrees_before_and_after_its_last_activation(
    network: CRDNetWithClassifier,
) -> None:
    rainy = make_image("eval512", 1, 512, 512)
    with torch.inference_mode():
        estimate = network(rainy)
        streaks = network.network.streaks(rainy)
        assert_agree(estimate.scores, "eval512_scores", 1e-5)
        assert_agree(
            network.classifier.compute_raw_scores(streaks),
            "eval512_scores_before_relu",
            1e-5,
        )
        assert_agree(streaks.mean((2, 3)), "eval512_streaks_mean", 1e-4)
        assert_agree(estimate.derained.mean((2, 3)), "eval512_derained_mean", 1e-4)


def test_two_training_steps_agree(checkpoints: Path) -> None:
    network = load_published_with_classifier(checkpoints, EPOCH).double().train()
    optimizer = torch.optim.Adam(
        [
            {"params": network.network.parameters(), "lr": 1e-4},
            {"params": network.classifier.parameters(), "lr": 3e-6},
        ]
    )
    rainy, clean = make_image("train-rainy", 2, 512, 512), make_image("train-clean", 2, 512, 512)
    codes = torch.tensor([RainDensity.LIGHT.code, RainDensity.HEAVY.code])

    def step() -> Losses:
        losses: Losses = MultiTaskLoss()(network(rainy), clean, codes)
        optimizer.zero_grad()
        losses.total.backward()
        return losses

    first = step()
    np.testing.assert_allclose(
        [term.item() for term in first], golden_figures()["train_step0_losses"], rtol=1e-4
    )
    gradients = {
        name: parameter.grad.norm().item()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    for name, norm in zip(
        golden_names("gradient"), golden_figures()["train_step0_gradient_norms"], strict=True
    ):
        stage, key = name.split(".", 1)
        # Rounding switches a few ReLUs of the classifier, whose gradient reaches these two stages:
        # the published figures are off by 1e-2 there.
        rtol = 2e-2 if stage in ("stage1", "classfy") else 1e-4
        np.testing.assert_allclose(
            gradients[translate_name(stage, key)],
            norm,
            rtol=rtol,
            atol=1e-3,
            err_msg=name,
        )
    buffers = dict(network.named_buffers())
    means = [
        buffers[translate_name(*name.split(".", 1))].mean().item()
        for name in golden_names("buffer")
    ]
    np.testing.assert_allclose(
        means,
        golden_figures()["train_step0_buffer_means"],
        rtol=0,
        atol=1e-4,
    )

    optimizer.step()
    second = step()
    np.testing.assert_allclose(
        [term.item() for term in second], golden_figures()["train_step1_losses"], rtol=1e-3
    )
    optimizer.step()
    with torch.inference_mode():
        derained = network.eval().network(make_image("eval", 2, 64, 96))
    assert_agree(derained, "after_training_derained", 2e-3)
