"""Train a network on a Ray cluster: `crdnet train` in every worker of Ray Train.

    python examples/train_on_ray.py 2 --config=default --data.root=backgrounds/ --run=/shared/a

The first argument is the number of workers; the others are those of `crdnet train`. A step equals
that of one process with as many times the batch. All machines share the folders that are named.
"""

import sys
from typing import Any

import ray
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

LIGHTNING = (
    "--trainer.strategy.class_path=ray.train.lightning.RayDDPStrategy",
    "--trainer.plugins=ray.train.lightning.RayLightningEnvironment",
)
"""Options by which Lightning takes the processes that Ray Train has started."""


def work(config: dict[str, Any]) -> None:
    """Train in one worker."""
    from crdnet.training import train  # noqa: PLC0415 - in the worker, not in the driver

    train([*config["arguments"], *LIGHTNING])


def main() -> None:
    """Start the workers, and wait for them."""
    workers, *arguments = sys.argv[1:]
    ray.init()
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray gives no types
    has_gpus = bool(resources.get("GPU"))
    scaling = ScalingConfig(num_workers=int(workers), use_gpu=has_gpus)
    TorchTrainer(work, train_loop_config={"arguments": arguments}, scaling_config=scaling).fit()


if __name__ == "__main__":
    main()
