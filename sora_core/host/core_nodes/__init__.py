"""ComfyUI's core nodes that video workflows need, under their ids and inputs, for the same workflows.

They act on this package's own MODEL, CLIP and VAE.
"""

from . import guiding, images, latents, loading, sampling, values, video

CORE_NODES = [
    *loading.NODES,
    *images.NODES,
    *latents.NODES,
    *sampling.NODES,
    *guiding.NODES,
    *values.NODES,
    *video.NODES,
]
