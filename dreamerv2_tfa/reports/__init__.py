"""What is read after training: published figures and scores."""
