"""What is wrong with a model, a critic or a policy, in numbers."""
