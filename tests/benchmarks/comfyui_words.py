"""A node for ComfyUI's custom_nodes folder: gives a prompt the mask of its words, as core's text encoder of LTX-Video
does. That encoder has five billion weights, and a tiny random LTX-Video does not care who encoded the prompt.
"""

import torch


class Words:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "give", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"conditioning": ("CONDITIONING",)}}

    def give(self, conditioning: list) -> tuple[list]:
        masks = [torch.ones(context.shape[:2], dtype=torch.long) for context, _ in conditioning]
        return ([[c, {**o, "attention_mask": m}] for (c, o), m in zip(conditioning, masks, strict=True)],)


NODE_CLASS_MAPPINGS = {"SoraBenchmarkWords": Words}
