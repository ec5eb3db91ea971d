"""What a prompt says of the sun, the moon, the stars, rain, snow, mist and clouds: sentences of their own.

They say the light and the weather, and their verbs are nobody else's: in "a dog, snow falling softly" the dog does not
fall. Each is told in a phrase that the table of other words has.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .lexicon import load_lexicon

_LEAD = r"(?:(?:as|while|when|with|and) )?"
_BE = r"(?:(?:is|are|was|were|has|have|just|already|slowly|softly|gently|quietly|lightly|begins? to|starts? to) )*"
_HOW = (
    r"(?: (?:slowly|softly|gently|quietly|lightly|heavily|hard|thickly|steadily|silently|brightly|low|down|"
    r"everywhere|"
    r"overhead|all around|outside|around|thick|wildly|fast|faintly|high|above|up above|up))*"
)


def _verbs(words: str) -> str:
    """Write a pattern of all forms of verbs."""
    ways = []
    for word in words.split():
        stem = word.removesuffix("e")
        last = word[-1] if re.fullmatch(r".*[^aeiou][aeiou][bdgmnpt]", word) else ""
        ways.append(rf"{word}(?:s|es)?|{stem}{last}?ing|{stem}{last}?ed")
    return f"(?:{'|'.join(ways)})"


_SET = _verbs("dip sink drop slip slide fade melt go set vanish disappear touch kiss meet hang") + "|went|sank"
_CLIMB = _verbs("rise climb peek break crest come creep appear") + "|rising|rose|up"
_HORIZON = r"(?: (?:the|a) (?:[a-z]+ )?(?:horizon|skyline|edge of the world|world|earth|waves)| (?:it|him|her|them)\b)"
_WAY = r"(?: (?:down|low|below|beneath|behind|under|over|into|towards?|on|above|past|out|up|through|from|of sight))*"
_MOON = (
    r"(?:silvery?|pale|bright|crescent|half|new|full|blood|harvest|big|huge|giant|large|round|white|yellow|"
    r"golden|red|"
    r"orange|blue|cold|lonely|rising|waning|waxing|glowing|shining|gleaming|lone|enormous|thin|fat|clear) "
)
_GLITTER = _verbs("twinkle glitter shine sparkle gleam glimmer glow blaze shimmer flicker wink burn dot fill")
_SPACE = re.compile(
    r"\b(?:rockets?|space\w*|astronauts?|ufos?|alien|planets?|mars|saucers?|shuttle|starship|galaxy|cosmo"
    r"\w+|on the moon|lunar|orbit)\b",
    re.I,
)
# The word by which it is told quickly that a pattern has nothing to find; the pattern; what it says.
_SAID: tuple[tuple[str, str, str], ...] = (
    (
        "sun",
        rf"{_LEAD}(?:the )?(?:(?:red|orange|golden|evening|huge|big|late) )?sun {_BE}(?:{_SET}|low"
        rf"){_WAY}{_HORIZON}?\b",
        "as the sun sets",
    ),
    (
        "sun",
        rf"{_LEAD}(?:the )?(?:(?:red|orange|golden|morning|early) )?sun {_BE}(?:{_CLIMB})\b{_WAY}{_HORIZON}?\b",
        "as the sun rises",
    ),
    (
        "sun",
        rf"{_LEAD}(?:the )?(?:(?:hot|blazing|merciless|fierce|bright|midday|noon|scorching|summer) )*sun {_BE}"
        rf"{_verbs('burn blaze beat shine glare bake scorch pour stream sizzle roast')}{_HOW}(?: (?:in the "
        rf"sky|from above))?",
        "the sun shines",
    ),
    (
        "sun",
        r"(?:under|beneath|in|by) (?:the|a) (?!set|ris|sink|red|orange|low|dying|evening|morning|golden)"
        r"(?:(?!with|of|and|at|near|by|on)[a-z]+ ){0,2}sun\b(?! (?:is|was|sets?|setting|goes|going|rises?|"
        r"rising|dips?))",
        "in the sun",
    ),
    (
        "to ",
        r"(?:night|darkness|dusk|day|daylight|evening|morning|dawn|afternoon|twilight) (?:just |slowly |"
        r"gently |already )*"
        r"(?:gives? way|giving way|fades?|fading|turns?|turning|melts?|slips?|passes|changes?|changing) (?:"
        r"in)?to (?:the )?"
        r"(?=(?:night|darkness|dusk|day|daylight|evening|morning|dawn|afternoon|twilight)\b)",
        "",
    ),
    (
        "out of",
        r"out of (?:the |a )?(?:[a-z]+ )?(?:water|sea|ocean|waves|surf|lake|pond|river)",
        "out of the water",
    ),
    (
        "behind",
        r"[a-z]+s (?:its (?:head|nose) )?(?:out )?from behind (?:a|the) (?:[a-z]+ )?tree",
        "comes out from behind a tree",
    ),
    (
        "behind",
        r"[a-z]+ing (?:its (?:head|nose) )?(?:out )?from behind (?:a|the) (?:[a-z]+ )?tree",
        "emerging from behind a tree",
    ),
    (
        "to the right",
        r"from (?:the )?(?:far )?left(?:[ -]hand)?(?: (?:side|edge|corner|end))?(?: of (?:the )?[a-z]+)?"
        r"(?: all the way| over| across)? to the (?:far )?right(?:[ -]hand)?(?: (?:side|edge|corner|end))?",
        "from left to right",
    ),
    (
        "to the left",
        r"from (?:the )?(?:far )?right(?:[ -]hand)?(?: (?:side|edge|corner|end))?(?: of (?:the )?[a-z]+)?"
        r"(?: all the way| over| across)? to the (?:far )?left(?:[ -]hand)?(?: (?:side|edge|corner|end))?",
        "from right to left",
    ),
    (
        "moon",
        rf"(?:(?:under|beneath|below|by|in|against|with|and) )(?:(?:the|a|an) )?(?:(?:light|glow|gleam) of )?"
        rf"(?:(?:the|a|an) )?(?:{_MOON}){{0,2}}moon(?:light|beams?|shine|glow)?\b(?! (?:landing|rover|"
        rf"rocket|base|rock|"
        rf"surface|landscape|shape))(?:"
        rf" {_BE}{_verbs('hang rise shine glow gleam peek sail climb float beam')})?{_HOW}"
        r"(?: in the (?:night )?sky)?",
        "under the moon",
    ),
    (
        "moon",
        rf"(?:(?:the|a|an) )?(?:{_MOON}){{0,2}}moon (?:{_BE}{_verbs('hang shine glow gleam peek sail beam')}|"
        rf"overhead|above|high|{_verbs('rise climb come')}(?: up)?(?= (?:over|above|in the|behind)\b)){_HOW}"
        r"(?: (?:in|over|above|from) the (?:night )?sky| (?:over|above|behind)(?= ))?",
        "under the moon",
    ),
    (
        "stars",
        rf"{_LEAD}(?:(?:the|a million|a thousand|countless|many|bright|distant|some) )*stars {_BE}(?"
        rf":{_GLITTER}|overhead|"
        rf"above){_HOW}(?: (?:behind|beyond|(?:in|above|across) the (?:dark |night |black )*sky|the (?:"
        rf"night )?sky))?",
        "under the stars",
    ),
    (
        "lights",
        rf"{_LEAD}(?:(?:under|beneath|below) )?(?:the )?(?:northern|southern|polar) lights"
        rf"(?: {_BE}{_verbs('dance glow shimmer shine flicker ripple wave swirl')}{_HOW}(?: (?:in|across) "
        rf"the sky)?)?",
        "under the stars",
    ),
    (
        "aurora",
        rf"{_LEAD}(?:(?:under|beneath|below) )?(?:(?:the|an|a) )?(?:[a-z]+ )?aurora(?: borealis| australis)?\b"
        rf"(?: {_BE}{_verbs('dance glow shimmer shine flicker ripple wave swirl')}{_HOW}(?: (?:in|across) "
        rf"the sky)?)?",
        "under the stars",
    ),
    (
        "thunder",
        rf"{_LEAD}(?:the )?(?:(?:claps?|rolls?|cracks?|peals?|rumbles?|rumbling) of )?thunder"
        rf"(?: and lightning| {_BE}{_verbs('roll rumble crack boom clap roar crash echo growl grumble')}{_HOW})"
        rf"(?: (?:in the distance|overhead))?",
        "thunderstorm",
    ),
    ("thunder", r"(?:claps?|rolls?|cracks?|peals?|rumbles?) of thunder", "thunderstorm"),
    (
        "lightning",
        rf"{_LEAD}(?:(?:flash(?:es)?|bolts?|forks?|streaks?) of lightning(?: {_verbs('light split streak')}"
        rf")?|lightning "
        rf"{_BE}{_verbs('flash strike crack fork split streak light illuminate flicker')}){_HOW}(?: the sky)?",
        "thunderstorm",
    ),
    (
        "rain",
        rf"{_LEAD}(?:the )?(?:(?:heavy|light|cold|warm|soft|gentle) )*(?:rain(?:drops)?|sheets of rain|"
        rf"drizzle|sleet|hail|hailstones|a downpour|a shower|showers) "
        rf"{_BE}{_verbs('fall pour lash pelt hammer beat drum patter streak drip come drizzle run splash')}{_HOW}"
        r"(?: from the sky)?",
        "it is raining",
    ),
    (
        "drizzle",
        rf"{_LEAD}(?:the |a )?(?:(?:heavy|light|cold|warm|soft|gentle|steady) )*drizzle "
        rf"{_BE}{_verbs('fall pour lash pelt hammer beat drum patter streak drip come run splash')}{_HOW}",
        "it is raining",
    ),
    (
        "rain",
        rf"(?:the )?{_verbs('drive pelt lash pour freeze fall stream')} rain\b|sheets of rain",
        "in pouring rain",
    ),
    (
        "snow",
        rf"{_LEAD}(?:the )?(?:(?:heavy|light|soft|gentle|fresh|white|fluffy|fat|big) )*(?:snow(?:flakes?)?|"
        rf"flakes of snow) "
        rf"{_BE}{_verbs('fall drift float come settle swirl whirl dance blow tumble flutter pour')}{_HOW}"
        r"(?: from the sky| through the air)?",
        "it is snowing",
    ),
    (
        "snow",
        rf"(?:(?:under|beneath|in|through|with|amid) )?(?:the )?(?:(?:softly|gently|lightly|heavily|slowly) )?"
        rf"{_verbs('fall drift swirl whirl blow drive dance')} snow(?:flakes)?\b",
        "in falling snow",
    ),
    (
        "fog",
        rf"{_LEAD}(?:the )?(?:(?:thick|dense|heavy|white|grey|gray|pale|morning|cold) )*(?:fog|smog) {_BE}"
        rf"{_verbs('roll hug drift creep hang swirl blanket cover lie cling fill curl descend settle thicken float')}"
        rf"(?: (?:in|over|across|around|along|through|above|to|low|between|down))*",
        "it is foggy",
    ),
    (
        "mist",
        rf"{_LEAD}(?:the )?(?:(?:thick|dense|heavy|white|grey|gray|pale|morning|cold) )*(?:mist|haze) {_BE}"
        rf"{_verbs('roll hug drift creep hang swirl blanket cover lie cling fill curl descend settle thicken rise')}"
        rf"(?: (?:in|over|across|around|along|through|above|to|low|between|down|from|off))*",
        "it is foggy",
    ),
    (
        "cloud",
        rf"{_LEAD}(?:the )?(?:(?:dark|grey|gray|black|heavy|thick|storm|rain) )*clouds {_BE}"
        rf"{_verbs('gather loom mass lower darken cover brood thicken')}{_HOW}(?: (?:the|in the|over the) sky)?",
        "dark clouds",
    ),
)  # fmt: skip
_PATTERNS = [
    (word, re.compile(rf"\b{pattern}" + ("(?![a-z])" if say else ""), re.IGNORECASE), say)
    for word, pattern, say in _SAID
]
_WEATHER = frozenset({"rain", "snow", "fog", "cloudy", "night", "sunset", "dawn", "dusk"})
_GOES_ON = re.compile(r" (?:the|a|an) ")


def _settled(text: str) -> bool:
    """Tell whether the lexicon reads in `text` nothing but light and weather."""
    known, unknown = load_lexicon().scan(text)
    words = load_lexicon()
    telling = {c for c in known if words[c].kind != "function"}
    return not unknown and bool(telling) and telling <= _WEATHER


def read_skies(text: str, whole: bool = False) -> str:
    """Tell in the table's phrases what English `text` says of the light and the weather.

    whole: the lexicon reads all of it, so that a moon is a subject as good as others.
    """
    low = text.lower()
    for word, pattern, say in _PATTERNS:
        if word in low and not (whole and word == "moon"):
            put = _put(say, text)
            text = pattern.sub(put, text)
    return text


def _put(say: str, text: str) -> Callable[[re.Match[str]], str]:
    """Make what replaces a match of a pattern that says `say` in `text`."""
    if say == "under the stars" and _SPACE.search(text):
        say = "stars all around"

    def put(found: re.Match[str]) -> str:
        if _settled(found[0]) or found[0].lower() == say:
            return found[0]
        onwards = _GOES_ON.match(text, found.end()) if found.string == text else None
        return f"{say} in" if onwards and say == "it is foggy" else say

    return put


# -- Chinese -----------------------------------------------------------------------------------------------------
# Those that something is compared with.
_NOUNS = "|".join(
    sorted((form for c in load_lexicon().concepts if c.kind == "subject" for form in c.zh), key=len, reverse=True)
)
_SCENES = "|".join(form for c in load_lexicon().concepts if c.kind == "scene" for form in c.zh)
_ZH_END = r"(?=[，。；！？、,.;!?\s]|$)"
_ZH_SAID: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (
            r"(?:一?[轮弯钩])?(?:[明弯圆新残]|皎洁的|银色的|金色的|大大的|圆圆的|弯弯的)?(?:月亮|月牙|月儿|"
            r"明月|弯月|新月)"
            r"(?:高|静静|悄悄|静静地|悄悄地|正|已)?(?:挂|悬|升|照|当空|爬|洒)[^，。；！？,.;!?]{0,6}?" + _ZH_END,
            "夜里",
        ),
        (
            r"(?:太阳|夕阳|红日|落日)(?:慢慢|渐渐|正|缓缓|已经|快要|快|正在|逐渐|要)*(?:落下|下沉|西沉|沉入"
            r"|落到|沉到|躲到|没入|"
            r"沉|落|下山|西下|隐没)[^，。；！？,.;!?]{0,6}?" + _ZH_END,
            "夕阳下",
        ),
        (
            r"(?:太阳|红日|朝阳|旭日)(?:慢慢|渐渐|正|缓缓|刚刚|刚|正在|从[^，。；,.;]{1,5}|逐渐)*(?:升起|升"
            r"|爬上|爬|跃出|露出|探出|出来)"
            r"[^，。；！？,.;!?]{0,6}?" + _ZH_END,
            "清晨",
        ),
        (r"越(?:飞|飘|升|爬|浮|窜|走|跳|跑|冲|游)越(?:高|上)", "升起"),
        (r"越(?:飞|飘|降|沉|潜|落|游|坠|滑|爬)越(?:低|深|下)", "下降"),
        (r"越(?:长|变|滚|胀|吹|鼓|走|跑|飞|游|开|靠)越大|越(?:走|跑|飞|游|开|靠)越近", "变大"),
        (r"越(?:缩|变|走|跑|飞|飘|游|开|滚|离)越(?:小|远)", "变小"),
        (r"越转越快", "快速地旋转"),
        (r"越(?:跑|飞|游|走|开|滚|爬)越快", "快速地移动"),
        (r"越(?:跑|飞|游|走|转|开|滚|爬|来)越慢", "慢慢地"),
        (
            r"从(?:左|右)(?:边|侧|面|方)?(?:缓缓|慢慢|飞快)?(移动|行驶|滚动|奔跑|飞行|[飞走跑游爬滚开驶飘跳"
            r"滑移冲])(?:到|向|往|至)"
            r"(左|右)(?:边|侧|面|方)?",
            r"向\2\1",
        ),
        (
            r"从(?:一棵|那棵|那颗)?(?:大|老|小|松)?树(?:的)?(?:后面|背后|后头|后)[^，。；！？,.;!?]{0,4}?(?"
            r":出来|出头来|出头|出去|出脑袋)",
            "从树后面经过",
        ),
        (r"比[^，。；！？,.;!?]{1,6}?(?:还要?|更)(?:大|高|巨大|高大)(?:得多)?的?", "巨大的"),
        (r"比[^，。；！？,.;!?]{1,6}?(?:还要?|更)(?:小|矮)(?:得多)?的?", "小小的"),
        (r"比[^，。；！？,.;!?]{1,6}?(?:还要?|更)快(?:得多)?", "快速"),
        (rf"(?:黑漆漆|黑乎乎|黑黢黢|黑洞洞|黑咕隆咚|漆黑一片|乌漆嘛黑|漆黑|黑黑)的?(?={_SCENES})", "夜里的"),
        # Comparisons: "像大象一样大的南瓜", "火箭般飞驰"
        (
            r"(?:好像|仿佛|宛如|犹如|如同|就像|像(?!素|[^，。]{0,6}(?:电影|画|游戏|片|素描|照片|卡通|童话))"
            r"|似|如)(?:[一两]?[只头个辆条匹]?)[^，。；！？,.;!?像如]{1,7}?(?:一样|一般|那样|那么|似的|般|那般)"
            r"(?:的|地)?(?:大|巨大|高大|庞大)(?:的|地)?",
            "巨大的",
        ),
        (
            r"(?:好像|仿佛|宛如|犹如|如同|就像|像(?!素|[^，。]{0,6}(?:电影|画|游戏|片|素描|照片|卡通|童话))"
            r"|似|如)(?:[一两]?[只头个辆条匹]?)[^，。；！？,.;!?像如]{1,7}?(?:一样|一般|那样|那么|似的|般|那般)"
            r"(?:的|地)?(?:小|矮小|渺小)(?:的|地)?",
            "小小的",
        ),
        (
            r"(?:就像|像|如|似)[^，。；！？,.;!?像如]{1,7}?(?:一样|一般|那样|那么|似的|般|那般)(?:的|地)?快(?:速)?",
            "快速",
        ),
        (
            r"(?:好像|仿佛|宛如|犹如|如同|就像|像(?!素|[^，。]{0,6}(?:电影|画|游戏|片|素描|照片|卡通|童话))"
            r"|似)(?:[一两]?[只头个辆条匹]?)[^，。；！？,.;!?像]{1,7}?(?:一样|一般|那样|似的|般|那般)"
            r"(?:的|地)?",
            "",
        ),
        (r"(?:大象|房子|恐龙|鲸鱼|卡车|汽车|高楼|巨人|小山|山)(?:般|一样|那么)?大(?:小)?的", "巨大的"),
        (r"(?:蚂蚁|老鼠|拇指|豆子|米粒|蜜蜂|手掌|硬币|拳头)(?:般|一样|那么)?(?:大小|大|小)的", "小小的"),
        (rf"(?:{_NOUNS})(?:般|一样|一般|那么|那样|似的)(?:巨大|大|高)的?", "巨大的"),
        (rf"(?:{_NOUNS})(?:般|一样|一般|那么|那样|似的)小的?", "小小的"),
        (rf"(?:{_NOUNS})(?:般|一样|一般|那么|那样|似的)快", "快速"),
        (rf"(?:{_NOUNS})(?:大小|般|一样|一般|那样|似的)(?:的|地)?", ""),
        (r"(?:什么|啥)(?:都|也)没有", ""),
        (r"(?:连)?一[个只条辆棵点丝片朵颗架艘]([\u3400-\u9fff]{1,4}?)(?:都|也)(?:没有|没|看不到|看不见)", r"没有\1，"),
        (r"空无一人|阒无一人|杳无人烟|荒无人烟|渺无人迹", "没有人，"),
        (r"(?:看不到|看不见|见不到|找不到)(?:任何)?(?=[\u3400-\u9fff])", "没有"),
        (r"不见(?=(?:人|车|树|花|月|阳|云|星|鸟|猫|狗))", "没有"),
    )
)


def read_chinese_skies(text: str, whole: bool = False) -> str:
    """Tell in the table's phrases what Chinese `text` says of the light, of how things go on, and of what is not.

    whole: the lexicon reads all of it, which then stays as it is.
    """
    if whole or text.isascii():
        return text
    for pattern, say in _ZH_SAID:
        text = pattern.sub(say, text)
    return text
