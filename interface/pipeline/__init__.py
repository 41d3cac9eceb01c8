"""From data to scores: what `demo`, `train`, `evaluate` and `predict` share."""
