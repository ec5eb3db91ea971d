"""How the embedded check of prompts is trained: on sentences that the package makes, and on nothing else."""
