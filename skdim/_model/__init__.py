"""What is trained, and what is done with it afterwards: configuration, inference, scores."""
