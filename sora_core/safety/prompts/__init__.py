"""The check of prompts: what somebody asks for is judged before any work is done.

from sora_core.safety.prompts import check_prompt
report = check_prompt("a cat moving right on a beach")
report.allowed, report.scores, report.evidence
"""

from .check import PromptReport, check_prompt, check_request, chosen_policy, require_allowed

__all__ = ["PromptReport", "check_prompt", "check_request", "chosen_policy", "require_allowed"]
