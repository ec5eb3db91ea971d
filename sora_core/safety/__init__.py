"""What makes videos safe to share: the policy, the check of prompts and the check of frames."""
