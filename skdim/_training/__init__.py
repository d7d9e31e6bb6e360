"""How a model is trained: `fit` calls the net, the net runs the loop, the loop runs the steps."""
