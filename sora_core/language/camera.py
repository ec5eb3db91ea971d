"""What a prompt says of the camera in plain words, told in the few words that the lexicon has for it.

The model's camera stands, pans, tilts and zooms. What another camera would do (follow somebody, circle around them) has
no word: it is left out and told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from .lexicon import load_lexicon

Found = tuple[str, str]  # what the prompt says, and why it cannot be
_ADVERBS = (
    r"(?:(?:is|are|that|which|who|then|and|also|starts?|begins?|keeps?|continues?|to|will|now|just|very|"
    r"ever|so|quickly|"
    r"smoothly|steadily|slightly|fast|quick|smooth|all the way|[a-z]+ly|slow|gentle|on) )*"
)
_WHOM = r"(?: (?:it|him|her|them|us|me|there|its subject|the scene|the subject|the action|the object))?"
_MOVING = (
    r"(?:moves?|moving|goes|go|going|glides?|gliding|slides?|sliding|tracks?|tracking|trucks?|drifts?|"
    r"drifting|swings?|"
    r"swinging|sweeps?|sweeping|turns?|turning|shifts?|shifting|travels?|travell?ing|floats?|floating|fl(?:"
    r"y|ies|ying)|"
    r"looks?|looking|pans?|panning|dollies|dolly|dollying|whips?|whipping|rotates?|rotating|swivels?|"
    r"swivelling|pushes|"
    r"push|pushing|pulls?|pulling|zooms?|zooming|draws?|drawing|runs?|running|walks?|walking|backs?|backing|comes?|"
    r"coming|gets?|getting|inch(?:es|ing)?|creeps?|creeping|eases?|easing|cranes?|craning|tilts?|tilting|points?|"
    r"pointing|rises?|rising|climbs?|climbing|lifts?|lifting|steps?|stepping|zips?|moved|pulled|pushed)"
)
# Patterns of what a camera does, the longest and surest first; "{t}" is its verb with whatever stands between.
_DOES: tuple[tuple[str, str], ...] = (
    (
        r"(?:follows?|following|chases?|chasing|trails?|trailing|tracks?(?! (?:back|in|out|left|right|to|toward))|"
        r"tracking(?! (?:back|in|out|left|right|to|toward|shot))|accompan(?:y|ies|ying)|keeps? (?:up|pace)|"
        r"keeping up|"
        r"(?:stays?|goes|go|going|moves?|moving|travels?|runs?|walks?|flies|fly) (?:along |close |right )?"
        r"(?:with|after|behind|beside|alongside|along(?! (?:the|a) )))(?: with| along| behind)?",
        "follow",
    ),
    (
        r"(?:circles?|circling|orbits?|orbiting|revolves?|revolving|arcs?|arcing|spirals?|spiralling|"
        r"{t}(?:in circles|in a circle|a full circle))\b(?: all the way)?(?: around| round)?|"
        r"{t}(?:all the way |once )?(?:around|round)\b",
        "circle",
    ),
    (
        r"(?:retreats?|retreating|recedes?|receding|widens?|widening)\b(?: (?:back|away|from))?|"
        r"{t}(?:back(?:wards?)? and away|further and further away|farther and farther away|further (?:away|back|out)|"
        r"farther (?:away|back|out)|back(?:wards?)?|away|outwards?|out|off|up and away)\b",
        "zoom out",
    ),
    (
        r"(?:closes?|closing) in\b(?: on)?|(?:approach(?:es|ing)?|nears?|nearing)\b|"
        r"{t}(?:closer(?: and closer)?|nearer(?: and nearer)?|close|in|inwards?|forwards?|ahead|into|towards?)\b"
        r"(?: (?:to|on|up|towards?)\b)?",
        "zoom in",
    ),
    (
        r"{t}(?:(?:over )?(?:to|towards?) )?(?:the )?(left|right)(?:wards?|ward)?(?: side|"
        r" hand side)?\b",
        "pan",
    ),
    (
        r"{t}(upwards?|up|skywards?|down|downwards?)\b|(rises?|rising|ascends?|ascending|climbs?|climbing|lifts?|"
        r"lifting|lowers?|lowering|descends?|descending|sinks?|sinking|drops?|dropping)\b",
        "tilt",
    ),
    (
        r"(?:is |are |stays? |staying |remains? |remaining |holds? |holding |keeps? |keeping |stands? |standing |"
        r"sits? |held |kept )?(?:perfectly |completely |quite )?(?:static|still|steady|fixed|locked(?: off| down)?|"
        r"motionless|unmoving|immobile|stationary|in place|put|at rest)\b|"
        r"(?:does not|doesn t|doesn'?t|never|do not|is not|isn'?t) (?:move|moves|moving)(?: at all)?\b|rests?\b",
        "static",
    ),
)
_AGENT = (
    r"(?:(?:with |while |as |and |but )?(?:the |a |an |our |my )?(?:slow |static |moving |handheld |shaky )?"
    r"(?:camera(?:man|woman)?|lens|viewpoint|cinematographer)|"
    r"(?:while |as |and )?\b(?:we|the (?:viewer|view|shot|frame|picture|perspective|image)))"
)
_CLAUSE = re.compile(rf"\b(?P<agent>{_AGENT})(?P<colon>:| -)? (?P<gap>{_ADVERBS})", re.IGNORECASE)
_TOWARDS = re.compile(
    r"\b(?:to|towards?|at|for|from|of|behind|beside|near|by|with|past|before|facing) $", re.IGNORECASE
)
_RULES = [
    (re.compile(pattern.replace("{t}", rf"{_MOVING} {_ADVERBS}") + _WHOM, re.IGNORECASE), concept)
    for pattern, concept in _DOES
]
# Without anybody who holds the camera.
_BEGIN = (
    r"(?:^|(?<=[,.;:(] )|(?<=\n)|(?<=\bin |\bas )|(?<=\bplease ))(?:an? |the )?"
    r"(?P<gap>(?:very |extreme |slow |quick |slowly |big )*)"
)
_ALONE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"{_BEGIN}(?:{p})", re.IGNORECASE), c)
    for p, c in (
        (
            r"(?:moving |getting |coming |going |drawing )?(?:closer and closer|ever closer|"
            r"nearer and nearer)(?: to| on)?",
            "zoom in"
        ),
        (
            r"(?:push|zoom|dolly|track|move)(?:ing)?[ -]in(?: shot)?(?: on| to| towards?)?",
            "zoom in"
        ),
        (
            r"close[ -]?up(?: shot)?(?: of| on)?|closeup(?: of)?|macro(?: shot)?(?: of)?",
            "zoom in"
        ),
        (
            r"(?:pull|zoom|dolly|track|move)(?:ing)?[ -](?:out|back|away)(?: shot)?(?: from)?",
            "zoom out"
        ),
        (
            r"(?:push|dolly|crash zoom|snap zoom|whip zoom|punch)(?:ing)?(?: in)?(?: shot)? on\b|"
            r"(?:close|tight|in close|in tight)(?: shot)? (?:in )?on\b|(?:close|tight) shot of\b|(?:extreme"
            r" )?(?:tight|detail|insert) shot(?: of)?\b|"
            r"(?:crash|snap|whip|fast|dolly|punch) zoom(?: in)?\b(?! out)(?: on)?|ecu(?: of)?\b|"
            r"(?:let s |let us )?(?:go|get|come|move) (?:in )?close(?:r)?(?: to| on| in on)\b",
            "zoom in"
        ),
        (
            r"(?:dolly|push|track|zoom|ease|inch|creep|pushing|zooming|tracking|dollying|easing|inching|creeping)"
            r"(?: shot)?(?: slowly| gently)?(?: in)?(?: closer)? (?:in on|to|towards?|up to)\b(?! (?:the )?"
            r"(?:left|right)\b)",
            "zoom in"
        ),
        (r"(?:ease|drift|inch|creep|float|easing|inching|creeping) in\b(?= (?:on|to|towards)\b|[,.;:]|$)", "zoom in"),
        (
            r"(?:ease|inch|creep|track|easing|inching|creeping|backing|back)(?: slowly| gently)? (?:out|"
            r"back|away|off)\b"
            r"(?= (?:from|slowly|gently|of|to)\b|[,.;:]|$)(?: slowly| gently)?(?: from)?",
            "zoom out"
        ),
        (r"(?:full |smooth )?(?:orbit|arc|circle|rotation|spin)(?: shot)? (?:around|round|about)\b", "circle"),
        (r"(?:crash|snap|whip|fast|dolly) zoom out\b(?: from)?|widen(?:ing)? out\b(?: from)?", "zoom out"),
        (
            r"(?<!a )(?<!an )(?<!the )(?:truck|track|dolly|slide|crab|swish pan|whip pan|trucking|tracking|dollying)"
            r"(?: shot)?(?: to)?(?: the)? (left|right)(?:wards?)?\b(?! (?:of|next|behind|beside))"
            r"(?: (?:past|along|across|over))?",
            "pan"
        ),
        (
            r"(?<!a )(?<!an )(?<!the )(?:crane|pedestal|ped|boom|jib|whip tilt)(?:ing|s)?(?: shot)? (up|"
            r"down)(?:wards?)?\b",
            "tilt"
        ),
        (
            r"(?:locked[ -](?:off|down)|static|stationary|tripod|fixed)[ -](?:camera|tripod|frame|framing|angle)\b|"
            r"locked[ -]?(?:off|down)\b(?! shot)|on a tripod\b|no camera (?:movement|motion|moves?)\b|"
            r"(?:without|with no) camera (?:movement|motion)\b",
            "static"
        ),
        (r"(?:tracking|following|follow|chase) shot(?: of)?", "follow"),
        (r"(?:orbit|orbiting|arc|360|circling) (?:shot|camera)(?: of| around)?", "circle"),
    )
)  # fmt: skip
WHY = {"follow": "a camera that goes along", "circle": "a camera that circles around"}
_SAY = {
    "zoom in": "the camera {slowly}zooms in",
    "zoom out": "the camera {slowly}zooms out",
    "static": "the camera stays still",
}


def _said(concept: str, match: re.Match[str], words: str) -> str:
    """Say what the camera does in the lexicon's words."""
    slowly = "slowly " if re.search(r"\b(?:slow|gentl|gradual|smooth)", words, re.IGNORECASE) else ""
    ways = [way.lower() for way in match.groups() if way]  # those of the pattern come last
    if concept == "pan":
        return f"the camera {slowly}pans {'left' if 'left' in ways else 'right'}"
    if concept == "tilt":
        way = ways[-1]
        up = way.startswith(("up", "sky", "ris", "asc", "cli", "lif"))
        return f"the camera {slowly}tilts {'up' if up else 'down'}"
    return _SAY[concept].format(slowly=slowly)


def _settled(text: str, concept: str) -> bool:
    """Tell whether the lexicon reads in `text` just what the camera does."""
    known, unknown = load_lexicon().scan(text)
    kinds = {"pan": {"pan", "left", "right"}, "tilt": {"tilt", "up", "down"}, "static": {"static", "still"}}
    kind = kinds.get(concept, {concept})
    words = load_lexicon()
    telling = {c for c in known if words[c].kind != "function"} - {"camera"}
    if len(telling & {"left", "right"}) > 1:
        return False  # "从左摇到右" goes one way
    return not unknown and telling <= kind and bool(telling & {concept, "still"})


def read_camera(text: str) -> tuple[str, list[Found]]:
    """Tell in the lexicon's words what English `text` says of the camera; returns what cannot be told besides."""
    lost: list[Found] = []
    done = 0
    while match := _CLAUSE.search(text, done):
        begin = match.end()
        if _TOWARDS.search(text[: match.start()]):  # "walks up to the camera and turns left"
            done = match.end("agent")
            continue
        for rule, concept in _RULES:
            does = rule.match(text, begin)
            if does is not None:
                text, done = _replaced(text, match, does, concept, lost)
                break
        else:
            done = match.end("agent")
    for pattern, concept in _ALONE:
        while alone := pattern.search(text):
            whole = alone[0]
            if _settled(whole, concept):
                break
            say = "" if concept in WHY else _said(concept, alone, whole) + _joined(text[alone.end() :], concept)
            if concept in WHY:
                lost.append((whole.strip(), WHY[concept]))
            text = text[: alone.start()] + say + text[alone.end() :]
    return text, lost


def _joined(rest: str, concept: str) -> str:
    """Say how a camera word goes on to what it shows."""
    joint = " on" if concept == "zoom in" else " from"
    return joint if rest.strip() and rest[0] == " " and not rest.lstrip().startswith(("of ", "on ", "from ")) else ""


def _replaced(text: str, agent: re.Match[str], does: re.Match[str], concept: str, lost: list[Found]) -> tuple[str, int]:
    """Put the lexicon's words where the camera's clause stands; returns the text, and where to read on."""
    whole = text[agent.start() : does.end()]
    if concept in WHY:
        lost.append((whole.strip(), WHY[concept]))
        # "follows the cat as it runs": whom it follows is asked for as well.
        rest = text[does.end() :]
        return f"{text[: agent.start()].rstrip()} {rest.lstrip()}".strip(), agent.start()
    if _settled(whole, concept):
        return text, does.end()
    joint = re.match(r"(?:with|while|as|and|but)\b", whole, re.IGNORECASE)
    say = f"{joint[0]} " if joint else ""
    say += _said(concept, does, whole)
    tail = re.search(r" (?:on|to|from|towards?)$", whole)
    if tail and concept == "zoom in" and text[does.end() :].strip():
        say += " on"
    return text[: agent.start()] + say + text[does.end() :], agent.start() + len(say)


# -- Chinese -----------------------------------------------------------------------------------------------------
_ZH_AGENT = r"(?:镜头|相机|摄像机|摄影机|画面|视角|机位)(?:在|则|也|会|开始|正在|正)?"
_ZH_SLOWLY = r"(?P<slow>慢慢地?|缓缓地?|缓慢地?|徐徐地?|逐渐地?|渐渐地?|轻轻地?|平稳地?|一点点地?|慢悠悠地?)?"
_ZH_DOES: tuple[tuple[str, str], ...] = (
    (
        r"(?:一直|始终|紧紧)?(?:跟着|跟随|追随|跟拍|追踪|跟在|追着|随着)[^，。；,.;]{0,8}?(?:移动|走|跑|前进|拍摄|飞|"
        r"游)?(?=[，。；,.;]|$)",
        "follow"
    ),
    (
        r"(?:围着|绕着|环绕|围绕|绕)[^，。；,.;]{0,8}?(?:转一?圈|转动|旋转|转|拍摄|一周|一圈|移动)?(?=[，。；,.;]|$)",
        "circle"
    ),
    (
        r"(?:往|向|朝)?(?:后|远处|外)?(?:拉远|拉开|拉出|拉后|远离|退后|后退|后移|推远|离远|越拉越远|越来越"
        r"远|远去|往后退|向后退|退|从近到远|从近拉到远|由近到远)(?:开|去|"
        r"了|着)?",
        "zoom out"
    ),
    (
        r"(?:往|向|朝)?(?:前|内)?(?:推近|推进|推入|拉近|靠近|逼近|推向|凑近|移近|接近|前移|前推|越来越近|越"
        r"推越近|慢推|特写|从远到近|从远推到近|由远到近|由远及近)(?:了|着|去)?",
        "zoom in"
    ),
    (
        r"(?:从|由)(?:左|右)(?:边|侧|方)?(?:缓缓|慢慢)?(?:摇动|摇移|摇|横移|移动|移|平移|扫|转|推|滑动|滑)"
        r"(?:到|向|至|往)(左|右)(?:边|侧|方)?",
        "pan"
    ),
    (
        r"(?:往|向|朝|(?=[左右](?:移|摇|平移|横移|转)))(左|右)(?:边|侧|方)?(?:缓缓|慢慢)?(?:移动|移|转动|转|扫|横移|摇动|摇移|平移|摇|滑动|"
        r"滑|推移|偏)?(?:过去|去|"
        r"动)?",
        "pan"
    ),
    (
        r"(?:往|向|朝)?(上|下)(?:方|面)?(?:缓缓|慢慢)?(?:抬起|抬|移动|移|升起|升|仰|摇动|摇|转动|转|降|压|"
        r"倾斜|扫)(?:起|动|去)?|"
        r"(抬起|抬高|上抬|上升|升高|仰起|升起|下降|降低|压低|下移|上移|俯下)",
        "tilt"
    ),
    (
        r"(?:保持|始终|一直)?(?:不动|一动不动|静止不动|静止|固定不动|固定|不移动|定住|没有动|稳定)(?:着|了)?",
        "static"
    ),
)  # fmt: skip
_ZH_RULES = [(re.compile(_ZH_AGENT + _ZH_SLOWLY + f"(?:{pattern})"), concept) for pattern, concept in _ZH_DOES]
_ZH_ALONE = [
    (re.compile(r"(?:^|(?<=[，。；,.;]))(?:大|超大)?(?:特写|近景)(?:镜头)?"), "zoom in"),
    (re.compile(r"(?:^|(?<=[，。；,.;]))(?:跟拍|跟踪镜头|追拍)(?:镜头)?"), "follow"),
    (re.compile(r"(?:^|(?<=[，。；,.;]))(?:环绕镜头|环绕拍摄|环拍)"), "circle"),
]
_ZH_SAY: dict[str, Callable[[re.Match[str]], str]] = {
    "zoom in": lambda m: "推近",
    "zoom out": lambda m: "拉远",
    "static": lambda m: "固定",
    "pan": lambda m: f"向{m[2]}平移",
    "tilt": lambda m: f"向{'上' if m[2] == '上' or (m[3] or '下')[0] in '抬仰升上' else '下'}倾斜",
}


def read_chinese_camera(text: str) -> tuple[str, list[Found]]:
    """Tell in the lexicon's words what Chinese `text` says of the camera; returns what cannot be told besides."""
    lost: list[Found] = []

    def put(concept: str, match: re.Match[str]) -> str:
        if concept in WHY:
            lost.append((match[0], WHY[concept]))
            return ""
        if _settled(match[0], concept):
            return match[0]
        slowly = "慢慢" if "slow" in match.re.groupindex and match["slow"] else ""
        return f"镜头{slowly}{_ZH_SAY[concept](match)}"

    rules: Iterable[tuple[re.Pattern[str], str]] = [*_ZH_RULES, *_ZH_ALONE]
    for rule, concept in rules:
        text = rule.sub(partial(put, concept), text)
    return text, lost
