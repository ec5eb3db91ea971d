"""The check of prompts on prompts that its training never saw (`tests/data/prompts_safety.jsonl`).

They were written by hand before there was a classifier, in two files: a small one to develop on (`_dev`), and the test
set. recall: of the prompts of a category, those whose score of that category reaches the threshold of the default
policy. false positives: harmless prompts with any category reaching it. captions: what the training world says about
its clips, from seeds that training did not draw.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path

PROMPTS = Path(__file__).resolve().parents[1] / "data" / "prompts_safety.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="JSON lines: text, labels, language, kind")
    parser.add_argument("--captions", type=int, default=1000, help="captions of the training world")
    parser.add_argument("--policy", default="default")


def measure(args: argparse.Namespace) -> dict:
    from sora_core.safety.policy import load_policy
    from sora_core.safety.prompts import check_prompt
    from sora_core.training.prompt_safety.sentences import world_captions

    policy = load_policy(args.policy)
    rows = [json.loads(line) for line in args.prompts.read_text("utf-8").splitlines()]
    check_prompt("warm up", policy)
    hits, wanted, times = Counter(), Counter(), []
    for row in rows:
        start = time.process_time()
        report = check_prompt(row["text"], policy)
        times.append((time.process_time() - start) * 1000)
        groups = [f"{row['language']} {row['kind']}"]
        if row["labels"]:
            for label in row["labels"]:
                for name in (label, *(f"harmful {group}" for group in groups)):
                    wanted[name] += 1
                    hits[name] += label in report.blocked
        else:
            for name in ("false positives", *(f"false positives {group}" for group in groups)):
                wanted[name] += 1
                hits[name] += not report.allowed
    captions = world_captions(args.captions, seed=77)
    passed = sum(check_prompt(text, policy).allowed for text in captions)
    rates = {name: f"{hits[name]}/{wanted[name]}" for name in sorted(wanted)}
    return {
        "prompts": len(rows),
        "policy": policy.name,
        "recall": {name: round(hits[name] / wanted[name], 4) for name in policy.prompt.thresholds if wanted[name]},
        "false_positive_rate": round(hits["false positives"] / wanted["false positives"], 4),
        "counts": rates,
        "captions_passed": f"{passed}/{len(captions)}",
        "cpu_ms_mean": round(statistics.mean(times), 3),
        "cpu_ms_p99": round(statistics.quantiles(times, n=100)[98], 3),
    }
