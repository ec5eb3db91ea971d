"""Expansion of a prompt by a language model behind an OpenAI-compatible address (`/v1/chat/completions`).

Any server will do: llama.cpp, Ollama, vLLM, LM Studio, or a hosted one. The answer passes the test that our own wording
passes (`expand.keeps`): what drops or changes something of the prompt is not used.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any
from urllib.parse import urlsplit

from ..calls import CallError, post
from ..errors import SoraError, expect
from ..safety.gate import check_address
from .expand import MOST, Expansion, expand, keeps, result
from .lexicon import load_lexicon
from .reading import read

# A key goes to the address that its owner named beside it, and to no other: a workflow may come from anybody.
ADDRESS, KEY = "SORA_LANGUAGE_MODEL", "SORA_LANGUAGE_MODEL_KEY"
_EXAMPLE = (
    "a cat walks left on a beach",
    "An orange cat walking left on a sandy beach in the daytime. The camera is static. Blue sea, a palm tree and "
    "yellow sand in the background. The mood is cheerful.",
)


def instructions() -> str:
    """Write the system message: what captions look like, and the words that the video model knows."""
    by_kind: dict[str, list[str]] = {}
    for concept in load_lexicon().concepts:
        by_kind.setdefault(concept.kind, []).append(concept.en[0])
    kinds = ("subject", "scene", "motion", "camera", "style", "time", "weather", "colour", "mood", "prop")
    words = "\n".join(f"{kind}: {', '.join(by_kind[kind])}" for kind in kinds)
    return (
        "You rewrite prompts for a small video model into one descriptive caption. Keep every subject, place, "
        "direction, relation, camera move, event, number, colour and style of the prompt, in its order. Add only the "
        "subject's colours, the light, the background and the mood. Add no subject, motion, direction, camera move or "
        f"event. Answer in the language of the prompt, with the caption alone, at most {MOST - 10} words.\n"
        f"The model knows these words and their like:\n{words}"
    )


def reword(prompt: str, address: str, model: str = "", seed: int = 0, seconds: float = 30.0) -> Expansion:
    """Have a language model word `prompt` again; where its answer would change the prompt, our own wording is used.

    `address`: "http://127.0.0.1:8080", with or without "/v1". `model`: its name there, "" for the server's own choice.
    `seconds`: limit for the whole exchange. Raises SoraError, which says what to do, for an empty prompt, a bad
    address, one that the policy does not allow, no answer in time, and an answer that is none.
    """
    prompt = prompt.strip()
    own = expand(prompt, seed)  # refuses what cannot be expanded before anybody is asked
    expect(math.isfinite(seconds) and seconds > 0, f"The time limit is {seconds} s. Use a number above 0.")
    url = endpoint(address)
    direct = check_address(url)
    body = {
        "messages": [
            {"role": "system", "content": instructions()},
            {"role": "user", "content": _EXAMPLE[0]},
            {"role": "assistant", "content": _EXAMPLE[1]},
            {"role": "user", "content": prompt},
        ],
        "seed": seed % 2**31,
        "temperature": 0.7,
        "max_tokens": 400,  # enough for a caption after some thinking aloud
    } | ({"model": model} if model else {})
    text = _tidy(_answer(_post(url, body, seconds, direct), url))
    reading = read(prompt)
    if text and keeps(text, reading):
        return result(text, reading, "language model")
    dropped = sorted(reading.meanings - read(text).meanings)
    what = f"left out {', '.join(dropped[:4])}" if dropped else "changed what the prompt says"
    return Expansion(own.prompt, own.unknown, own.how, f"The language model {what}, so: {own.note}")


def endpoint(address: str) -> str:
    """Return the URL to post to. Raises SoraError for what is no http address."""
    address = address.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    expect(usable, f"The language model's address {address!r} is none: write it like http://127.0.0.1:8080.")
    if address.endswith("/chat/completions"):
        return address
    return address + ("" if address.endswith("/v1") else "/v1") + "/chat/completions"


def _post(url: str, body: dict[str, Any], seconds: float, direct: bool) -> bytes:
    """Post `body` as JSON, `direct` past any proxy, and read the reply.

    Raises SoraError where that fails or takes longer than `seconds`.
    """
    headers = {"Content-Type": "application/json"}
    named = os.environ.get(ADDRESS, "").strip()
    if os.environ.get(KEY) and named and endpoint(named) == url:
        headers["Authorization"] = f"Bearer {os.environ[KEY]}"
    try:
        answer = post(url, json.dumps(body).encode(), headers, seconds=seconds, direct=direct)
    except CallError as error:
        if error.late:
            raise SoraError(
                f"The language model at {url} did not answer within {seconds:g} s. Give it more time or use a smaller "
                "one."
            ) from None
        raise SoraError(
            f"The language model at {url} cannot be reached ({error}). Start the server, or check the address."
        ) from None
    if answer.good:
        return answer.body
    detail = answer.body[:300].decode("utf-8", "replace").strip().replace("\n", " ")
    advice = {
        401: f"Put its key into {KEY} and its address into {ADDRESS}.",
        404: "Check the address, and the model's name.",
    }.get(answer.status, "See the server's own log.")
    raise SoraError(f"The language model at {url} answers {answer.status} {answer.reason}: {detail}\n{advice}")


def _answer(data: bytes, url: str) -> str:
    """Read the text of a chat completion. Raises SoraError for what is none."""
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
        expect(isinstance(text, str), "")
        return text
    except (ValueError, LookupError, TypeError, RecursionError, SoraError):
        raise SoraError(
            f"{url} answers, but not as an OpenAI-compatible chat does: {data[:80]!r}. Check the address."
        ) from None


def _tidy(text: str) -> str:
    """Leave the caption alone: without thinking aloud, quotation marks and line breaks."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.S)
    return re.sub(r"\s+", " ", text).strip().strip("\"'“”「」")
