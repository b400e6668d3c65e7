"""Actor-critic learned in imagination, and the policy that acts."""
