"""Model files: checkpoints and LoRAs."""
