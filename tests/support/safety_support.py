"""Policies and classifiers for the tests: real ONNX files, made on the spot, that flag all or nothing."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper, save

from sora_core.safety.policy import Policy, load_policy


def constant_classifier(path: Path, score: float) -> Path:
    """An ONNX classifier `[N,3,32,32] -> [N,1]` that gives every frame `score`."""
    kind = TensorProto.FLOAT
    constants = [
        helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 1]),
        helper.make_tensor("zero", kind, [1], [0.0]),
        helper.make_tensor("score", kind, [1], [score]),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["frames"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "score"], ["out"]),
    ]
    given = helper.make_tensor_value_info("frames", kind, ["N", 3, 32, 32])
    made = helper.make_tensor_value_info("out", kind, ["N", 1])
    graph = helper.make_graph(nodes, "constant", [given], [made], constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def brightness_classifier(path: Path) -> Path:
    """An ONNX classifier whose score is the mean brightness of a frame."""
    kind = TensorProto.FLOAT
    nodes = [helper.make_node("ReduceMean", ["frames"], ["out"], axes=[1, 2, 3], keepdims=0)]
    given = helper.make_tensor_value_info("frames", kind, ["N", 3, 32, 32])
    made = helper.make_tensor_value_info("out", kind, ["N"])
    graph = helper.make_graph(nodes, "brightness", [given], [made])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def policy_with(folder: Path, classifier: Path, action: str = "block", locked: bool = True, extra: str = "") -> Policy:
    """A policy whose NSFW classifier is `classifier`, read from a file in `folder`."""
    path = folder / f"policy_{action}_{locked}.toml"
    path.write_text(f"""
name = "test"
locked = {str(locked).lower()}
[prompt]
action = "off"
[frames]
action = "{action}"
[frames.classifiers]
nsfw = "{classifier}"
[frames.thresholds]
nsfw = 0.5
[provenance]
c2pa = "off"
watermark = false
{extra}""")
    return load_policy(path)
