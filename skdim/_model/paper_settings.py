"""The settings of the paper's experiments; its networks are in `skdim.encoders.paper`."""

PAPER_WEIGHTS: dict[str, dict[str, float]] = {
    "global": {"global_weight": 1.0, "local_weight": 0.0, "prior_weight": 1.0},
    "local": {"global_weight": 0.0, "local_weight": 1.0, "prior_weight": 0.1},
    # The paper gives no weight of the prior for this one.
    "local+global": {"global_weight": 0.5, "local_weight": 0.1, "prior_weight": 0.1},
}

PAPER_SETTINGS: dict = {
    "encoder": "paper32",
    "output": "code",
    "critic": "separable_published",
    "critic_width": 2048,
    "prior": "uniform",
    "gradient_penalty": 1.0,
    "augment": None,
    "max_epochs": 1000,
    "batch_size": 64,
    "optimizer": "adam",
    "optimizer_params": {"betas": (0.5, 0.999)},
    "learning_rate": 1e-4,
    "gradient_clip_norm": None,
    "lr_schedule": "constant",
    "precision": "float32",
}
