"""Expansion of prompts: every fact is kept, nothing is added that changes the video."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from nodes_support import make_host, text_to_video

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.language import LENGTHS, caption, language_model, load_lexicon
from sora_core.language.expand import expand, keeps
from sora_core.language.grammar import is_plural
from sora_core.language.looks import USUAL_TIMES
from sora_core.language.reading import read
from sora_core.language.tokens import language_of
from sora_core.media.video import read_video
from sora_core.training.world.scenes import SCENES


def essence(facts):
    """What a caption of the world's facts can say."""
    shot = ("scene", "time_of_day", "weather", "camera", "motions", "relations")
    return {
        "style": facts["style"],
        "events": [event["kind"] for event in facts["events"]],
        "names": [subject["name"] for subject in facts["subjects"]],
        "shots": [[one[key] for key in shot] for one in facts["shots"]],
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_captions_are_read_as_the_facts_that_they_were_made_from(facts, language):
    rng = np.random.default_rng(0)
    for fact in facts[:1000]:
        for length in LENGTHS:
            text = caption(fact, rng, language, length)
            reading = read(text)
            assert reading.facts is not None, (text, reading.left_over)
            assert essence(reading.facts) == essence(fact), text


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_expansion_keeps_every_concept_and_every_fact(facts, language):
    """Two thousand captions a language: checked against the lexicon's own scan and the world's truth."""
    words, rng = load_lexicon(), np.random.default_rng(1)
    told, longer, facts = 0, 0, facts[:1000]
    for seed, fact in enumerate(facts):
        for length in ("short", "medium"):
            prompt = caption(fact, rng, language, length)
            made = expand(prompt, seed)
            again = read(made.prompt)
            assert essence(again.facts) == essence(fact), (prompt, made.prompt)
            assert read(prompt).meanings <= again.meanings, (prompt, made.prompt)
            known, unknown = words.scan(made.prompt)
            assert not unknown and made.unknown == () and len(known) <= 60
            told += made.how == "told again"
            longer += len(known) > len(words.scan(prompt)[0])
    assert told >= 0.99 * 2 * len(facts) and longer >= 0.9 * 2 * len(facts)


FREE = {
    "a kitten on a beach": {"cat", "beach"},
    "a tiny robot spins clockwise in space": {"small", "robot", "spin", "clockwise", "outer space"},
    "the camera zooms in on a penguin standing on snowy mountains": {"penguin", "zoom in", "still"},
    "A purple cat grows on a meadow": {"purple", "cat", "grow", "meadow"},
    "a happy dog jumps in the rain": {"cheerful", "dog", "bounce", "rain"},
    "a small black cat walks slowly to the left in the city": {"small", "black", "cat", "slowly", "left"},
    "two dogs run in a meadow": {"two", "dog", "meadow"},
    "first a rocket flies up in space, then cut to the rocket falling in the desert": {"up", "cut", "fall", "desert"},
    "a cat chases a dog on the beach": {"cat", "dog", "follow"},
    "一只毛茸茸的猫在沙滩上": {"cat", "beach"},
    "镜头推近一只在雪山上的企鹅": {"zoom in", "penguin", "snowy mountains"},
    "猫在狗的左边": {"cat", "left", "dog"},
    "一只可爱的小猫在海边慢慢地向左走": {"small", "cat", "beach", "slowly", "left"},
}


@pytest.mark.parametrize("prompt", FREE)
def test_prompts_in_other_words(prompt):
    words = load_lexicon()
    for seed in range(3):
        made = expand(prompt, seed)
        before, after = read(prompt), read(made.prompt)
        assert FREE[prompt] <= before.meanings <= after.meanings and after.unknown == before.unknown, made
        extra = after.meanings - before.meanings - {"dark"}  # as in "dark green pine trees"
        assert not {words[c].kind for c in extra} & {"subject", "direction", "event", "style", "shot"}, made
        assert language_of(made.prompt) == language_of(prompt)


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a man walks on a beach", "man"),  # and no colour: those of the model's runner are not a man's
        ("a cat walks", "walk"),
        ("a white and black cow", "white and black cow"),
        ("a black and white zebra walks left", "black and white zebra"),
        ("(a red cat:1.3) walks left on a beach", "(a red cat:1.3) walks left on a beach."),
        ("a gryphon walks left on a beach", "a gryphon walks left on a beach."),
        ("一辆蓝色的汽车在沙漠里从左向右开", "蓝色的汽车"),
    ],
)
def test_the_prompts_own_words_stay(prompt, wanted):
    for seed in range(4):
        text = expand(prompt, seed).prompt
        assert wanted in text and "orange man" not in text and "运" not in text


@pytest.mark.parametrize(
    "prompt",
    [
        "a beach without a cat",
        "a cat and a dog",
        "A cat walking left. Blue sea in the background. Calm mood.",
        "一只猫。背景是蓝天白云。气氛宁静。",
        " ".join(["a cat walks left on a beach"] * 7),
    ],
)
def test_what_is_left_alone(prompt):
    made = expand(prompt, 3)
    assert made.prompt == prompt and made.how == "left alone" and made.note.startswith("Left as it is")


def test_a_wording_that_changes_the_prompt_is_seen():
    reading = read("a cat walks left on a beach")
    assert keeps("An orange cat walking left on a beach in the daytime. Cheerful mood.", reading)
    for other in (
        "A cat walking right on a beach.",
        "A cat walking left.",
        "A cat walking left on a beach at night.",
        "A cat walking left on a beach in the rain.",
        "A cat walking left on a beach. The camera zooms in.",
        "A cat to the left of a dog on a beach.",
        "A dog walking left on a beach with a cat.",
    ):
        assert not keeps(other, reading), other


def test_same_seed_same_wording():
    assert expand("a cat on a beach", 5) == expand("a cat on a beach", 5)
    assert len({expand("a cat on a beach", seed).prompt for seed in range(20)}) > 8
    once = expand("a cat walks left on a beach", 1).prompt
    assert expand(once, 2).prompt == once


def test_unknown_words_are_named():
    made = expand("a fluffy cat and a qwxz on a beach")
    assert made.unknown == ("fluffy", "qwxz") and "fluffy, qwxz" in made.note
    assert all(word in made.prompt for word in made.unknown)
    with pytest.raises(SoraError, match="empty"):
        expand("  ")


def test_usual_times_are_the_worlds():
    assert {name: scene.times[0] for name, scene in SCENES.items()} == {
        name: USUAL_TIMES.get(name, "day") for name in SCENES
    }


def test_plurals():
    words = load_lexicon()
    for surface, concept in (("cats", "cat"), ("puppies", "dog"), ("men", "runner"), ("mice", "mouse")):
        assert is_plural(surface, words[concept])
    for surface, concept in (("bus", "bus"), ("octopus", "octopus"), ("kitten", "cat"), ("chicken", "rooster")):
        assert not is_plural(surface, words[concept])


# -- with a language model -------------------------------------------------------------------------------------
@contextmanager
def server(answer, seen=None):
    """A chat server on this machine. answer(body) gives the text, or acts on the handler itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if seen is not None:
                seen.append((self.path, body, self.headers.get("Authorization")))
            text = answer(self, body)
            if text is not None:
                data = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


GOOD = '<think>hm</think>\n"An orange cat walking left on a sandy beach in the daytime. Cheerful mood."\n'


def test_a_language_model_does_the_wording(monkeypatch):
    seen = []
    monkeypatch.setenv(language_model.KEY, "secret")
    with server(lambda handler, body: GOOD, seen) as address:
        made = language_model.reword("a cat walks left on a beach", address, "tiny", seed=7)
        assert made.how == "language model"
        assert made.prompt == "An orange cat walking left on a sandy beach in the daytime. Cheerful mood."
        monkeypatch.setenv(language_model.ADDRESS, address)
        language_model.reword("a cat walks left on a beach", address + "/v1/")
    (path, body, key), (second_path, second, second_key) = seen
    assert path == second_path == "/v1/chat/completions"
    assert body["model"] == "tiny" and body["seed"] == 7 and "model" not in second
    assert body["messages"][-1] == {"role": "user", "content": "a cat walks left on a beach"}
    assert "penguin" in body["messages"][0]["content"]
    assert key is None and second_key == "Bearer secret"  # only to the address that was named beside it


@pytest.mark.parametrize(
    ("answer", "note"),
    [("A dog walking left on a beach.", "left out cat"), ("A cat walking left on a beach at night.", "changed")],
)
def test_a_language_model_cannot_change_the_prompt(answer, note):
    with server(lambda handler, body: answer) as address:
        made = language_model.reword("a cat walks left on a beach", address)
    assert made.how == "told again" and note in made.note and keeps(made.prompt, read("a cat walks left on a beach"))


def refuse(handler, body):
    handler.send_error(401, "no key")


def wander(handler, body):
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:9/")
    handler.end_headers()


def babble(handler, body):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>")


def dawdle(handler, body):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(12):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "seconds", "message"),
    [
        (refuse, 60, "answers 401.*\n.*SORA_LANGUAGE_MODEL_KEY"),
        (wander, 60, "answers 302"),
        (babble, 60, "not as an OpenAI-compatible chat"),
        (dawdle, 0.4, "did not answer within 0.4 s"),
    ],
)
def test_what_a_language_model_can_do_wrong(answer, seconds, message):
    with server(answer) as address, pytest.raises(SoraError, match=message):
        language_model.reword("a cat on a beach", address, seconds=seconds)


@pytest.mark.parametrize(
    ("address", "message"),
    [("localhost", "write it like"), ("ftp://x", "write it like"), ("http://127.0.0.1:9", "Start the server")],
)
def test_addresses_that_are_none(address, message):
    with pytest.raises(SoraError, match=message):
        language_model.reword("a cat on a beach", address, seconds=2)


def test_the_command(capsys):
    assert main(["expand", "a cat walks left on a beach", "--seed", "4"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == expand("a cat walks left on a beach", 4).prompt and "Told again" in err
    with server(lambda handler, body: GOOD) as address:
        assert main(["expand", "a cat walks left on a beach", "--language-model", address]) == 0
    assert "sandy beach" in capsys.readouterr().out


def test_the_node_in_a_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    inputs = {"text": "a cat walks left on a beach", "seed": 3, "clip": ["load", 1]}
    inputs |= {"language_model": "", "language_model_name": "", "time_limit": 30.0}
    videos = []
    for text in (["expand", 0], expand(inputs["text"], 3).prompt, inputs["text"]):
        graph = text_to_video(positive__text=text)
        graph["expand"] = {"class_type": "SoraExpandPrompt", "inputs": inputs}
        videos.append(read_video(host.run(host.load(graph)).files[0])[0])
    assert torch.equal(videos[0], videos[1]) and not torch.equal(videos[0], videos[2])
