"""Prompts that take back a word: what is asked then, and what takes nothing back."""

import pytest

from sora_core.language.restate import restate


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a red, no, blue car goes left in the meadow", "a blue car goes left in the meadow"),
        ("a blue car (no, red) in the desert", "a red car in the desert"),
        ("a cat, sorry, I mean a dog on the beach", "a dog on the beach"),
        ("a dog - actually a fox - runs", "a fox runs"),
        ("a big red ball, sorry, balloon rises", "a big red balloon rises"),
        ("a tiger in the desert, no, the forest", "a tiger in the forest"),
        ("a robot walks left, no, right in the city", "a robot walks right in the city"),
        ("a green... make that yellow bus in the desert", "a yellow bus in the desert"),
        ("a purple dinosaur, I meant a green one", "a green dinosaur"),
        ("a whale jumps - scratch that - a dolphin jumps", "a dolphin jumps"),
        ("two, no three ducks in the water", "three ducks in the water"),
        ("a cat, no wait, two cats in the forest", "two cats in the forest"),
        ("three pigs, I mean three sheep in a field", "three sheep in a field"),
        ("an elephant, make that two", "two elephants"),
        ("a cat sits, hold on, it's a dog", "a dog sits"),
        ("a cat runs left, no, a wolf", "a dog runs left"),
        ("a lion on a rock, I mean a tiger", "a tiger on a rock"),
        ("a cat on the beach, no, a dog in the forest", "a dog in the forest"),
        ("a parrot on a pirate ship, sorry, on a tower", "a parrot on a tower"),
        ("the dog runs fast, no, slowly, in the meadow", "the dog runs slowly, in the meadow"),
        ("the camera zooms in, no, out", "the camera zooms out"),
        ("a bee, sorry not a bee, a ladybug on a sunflower", "a ladybug on a sunflower"),
        ("is it a bird? no, it's a plane", "is it a plane"),
        ("change that to a pig in the meadow", "a pig in the meadow"),
        ("a rocket (sorry, a ufo) falls", "(a ufo) falls"),
        ("红色的汽车，不对，是蓝色的汽车，往左开", "蓝色的汽车，往左开"),
        ("一辆红色的汽车，不，蓝色的，往左开", "一辆蓝色的汽车，往左开"),
        ("两只，哦不，三只兔子在跳", "三只兔子在跳"),
        ("一只小蜗牛，我是说小蜜蜂，在飞", "一只小蜜蜂，在飞"),
        ("西瓜在弹跳，应该是南瓜", "南瓜在弹跳"),
        ("一只猫在跑，不对，是狗在跳", "一只狗在跳"),
        ("一只猫，不是猫，是狗，在沙滩上", "一只狗，在沙滩上"),
        ("在沙漠里，不，在海边，一只螃蟹在走", "在海边，一只螃蟹在走"),
        ("往左走，不，往右走的狐狸", "往右走的狐狸"),
        ("一只猫在沙滩上，把猫换成狗", "一只狗在沙滩上"),
        ("一辆公交车，把颜色改成紫色", "一辆紫色的公交车"),
        ("一头大象，等等，两头大象", "两个大象"),
        ("a walking dog, no, running dog", "a running dog"),
        ("一只粉色的猪，不要粉色，要蓝色", "一只蓝色的猪"),
        ("一只猫，算了，还是画狗吧", "一只狗"),
        ("红色的直升机，呃，说错了，是飞机，往上飞", "红色的飞机，升起"),
        ("a sailboat at night, hmm, at sunset, drifting right", "a sailboat at sunset, drifting right"),
        # What takes nothing back.
        ("a ship sails left, I mean, the ship is red", "a ship sails left, the ship is red"),
        ("a robot says oh no, a rocket falls", "a robot, a rocket falls"),
        ("等等，一只猫", "一只猫"),
        ("猫、狗、等等，一只鹦鹉", "猫、狗、一只鹦鹉"),
        ("an elephant, well fed, walks", "an elephant, walks"),
        ("一只企鹅应该在雪山里", "一只企鹅在雪山里"),
        ("一只猫，不是狗", "一只猫"),
        ("a cat walks, wait, and then jumps", "a cat walks, wait, and then jumps"),
        ("a dog runs, no cats", "a dog runs"),
        ("a bear well hidden in the forest", "a bear in the forest"),
    ],
)
def test_what_a_prompt_takes_back_is_not_asked(prompt, told):
    assert restate(prompt).prompt == told
