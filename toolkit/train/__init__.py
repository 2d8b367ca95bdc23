"""Training: batches, backends, the trainer and the stage."""

from toolkit.train.evaluate import evaluate_rows
from toolkit.train.stage import train

__all__ = ["evaluate_rows", "train"]
