"""Training: ``fit`` carries out the ``plan``, the ``net`` says what a step is, ``loop`` loops."""
