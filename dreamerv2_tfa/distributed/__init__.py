"""A run in several processes: replay, learner, collectors, evaluator."""
