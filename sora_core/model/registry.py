"""Named model sizes. Wan's are the published ones, so that its checkpoints fit the same code."""

from __future__ import annotations

from .dit import DiTConfig

DIT_CONFIGS: dict[str, DiTConfig] = {
    "sora-mini": DiTConfig(256, 1024, num_heads=4, num_layers=6, text_dim=256, text_len=64, coordinates=True),
    "wan2.1-t2v-1.3b": DiTConfig(dim=1536, ffn_dim=8960, num_heads=12, num_layers=30),
    "wan2.1-t2v-14b": DiTConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40),
    "wan2.2-ti2v-5b": DiTConfig(dim=3072, ffn_dim=14336, num_heads=24, num_layers=30, in_dim=48, out_dim=48),
}
