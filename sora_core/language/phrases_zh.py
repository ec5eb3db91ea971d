"""Chinese captions: the phrases, and the grammar that joins them."""

from __future__ import annotations

from typing import Any

from .composer import OPPOSITES, Composer, Phrases

PHRASES = Phrases(
    places={
        "meadow": ("草地上", "草原上", "绿草地上", "田野里"),
        "beach": ("海滩上", "沙滩上", "海边"),
        "desert": ("沙漠里", "沙漠中", "沙丘上"),
        "snowy mountains": ("雪山前", "雪山里", "雪地上"),
        "city at night": ("夜晚的城市里", "夜晚的街道上", "城市夜景中"),
        "outer space": ("太空中", "外太空", "宇宙中", "星空中"),
        "underwater": ("水下", "海底", "海里"),
        "sunset": ("夕阳下", "晚霞中", "日落时分"),
        "forest": ("森林里", "树林里", "林中"),
        "volcano": ("火山旁", "火山前", "火山附近"),
    },
    skies={
        "meadow": ("草地上空", "草原上空"),
        "beach": ("海滩上空", "沙滩上空"),
        "desert": ("沙漠上空",),
        "snowy mountains": ("雪山上空",),
        "city at night": ("夜晚的城市上空",),
        "forest": ("森林上空", "树林上空"),
        "volcano": ("火山上空", "火山上方"),
    },
    details={
        "meadow": ("蓝天白云和绿色的草地", "白云和绿色的山"),
        "beach": ("蓝色的大海，棕榈树和金色的沙子", "海浪和金色的沙子"),
        "desert": ("橙色的沙丘和绿色的仙人掌", "黄色的天空和仙人掌"),
        "snowy mountains": ("白色的雪，灰色的山峰和松树", "白色的山峰"),
        "city at night": ("高楼和黄色的灯光", "黑色的高楼和明亮的窗户"),
        "outer space": ("紫色的星空", "紫色的宇宙和巨大的星空"),
        "underwater": ("蓝色的水，气泡和海草", "气泡，海草和珊瑚"),
        "sunset": ("橙色和紫色的天空", "巨大的太阳和橙色的天空"),
        "forest": ("棕色的树干和绿色的大树", "绿色的树"),
        "volcano": ("橙色的岩浆和红色的天空", "岩浆和黑色的岩石"),
    },
    moods={
        "meadow": ("欢快", "宁静"),
        "beach": ("欢快", "温暖"),
        "desert": ("孤独", "炽热"),
        "snowy mountains": ("寒冷", "寂静"),
        "city at night": ("安静", "神秘"),
        "outer space": ("辽阔", "神秘"),
        "underwater": ("平静", "梦幻"),
        "sunset": ("温暖", "平静"),
        "forest": ("安静", "神秘"),
        "volcano": ("壮观", "危险"),
    },
    times={"day": ("白天", "日间"), "night": ("夜里", "晚上"), "dawn": ("黎明", "清晨"), "dusk": ("黄昏", "傍晚")},
    weathers={
        "rain": ("下着雨", "雨中"),
        "snow": ("下着雪", "雪中"),
        "fog": ("大雾中", "雾中"),
        "cloudy": ("多云", "阴天"),
    },
    styles={
        "pencil": ("铅笔画", "铅笔素描"),
        "pixel art": ("像素画", "像素风格"),
        "night vision": ("夜视镜头", "夜视视频"),
        "black and white": ("黑白影片", "黑白电影"),
        "sepia": ("老电影", "复古影片"),
        "watercolor": ("水彩画", "水彩风格"),
    },
    verbs={
        "animal": ("走", "跑", "移动"),
        "bird": ("走", "移动"),
        "fish": ("游", "移动"),
        "insect": ("飞", "移动"),
        "face": ("移动", "滑动"),
        "vehicle": ("行驶", "开", "移动"),
        "boat": ("航行", "移动"),
        "aircraft": ("飞", "飞行", "移动"),
        "ball": ("滚动", "移动"),
        "food": ("滑动", "移动"),
        "plant": ("滑动", "移动"),
        "person": ("走", "移动"),
        "thing": ("移动", "滑动", "飘"),
    },
    sideways=("向{d}{v}", "往{d}{v}", "朝{d}{v}", "向{d}边{v}", "往{d}边{v}", "从{o}向{d}{v}", "从{o}往{d}{v}"),
    motions={
        "up": ("向上移动", "上升", "往上飞", "向上飘", "慢慢升起"),
        "down": ("向下移动", "下降", "往下移动", "向下飘", "慢慢下沉"),
        "still": ("静止不动", "一动不动", "停在原地"),
        "bounce": ("弹跳", "上下弹跳", "上下跳动", "蹦蹦跳跳"),
        "fall": ("落到地上", "掉到地上", "坠落", "掉下来"),
        "spin": ("旋转", "转圈", "打转"),
        "grow": ("变大", "越来越大", "慢慢变大"),
        "shrink": ("变小", "越来越小", "慢慢变小"),
    },
    cameras={
        "static": ("镜头固定", "固定镜头", "镜头静止"),
        "pan": ("镜头向{d}平移", "镜头向{d}摇", "镜头往{d}平移"),
        "tilt": ("镜头向{d}倾斜", "镜头往{d}倾斜"),
        "zoom in": ("镜头推近", "镜头慢慢推近"),
        "zoom out": ("镜头拉远", "镜头慢慢拉远"),
    },
    next_cameras={"pan": "然后向{d}平移", "tilt": "然后向{d}倾斜", "zoom in": "然后推近", "zoom out": "然后拉远"},
    events={
        "bite": ("{s}被咬了一口，一直有咬痕", "突然{s}被咬了一口，有了咬痕"),
        "pop": ("突然{s}爆了，消失了", "{s}爆掉，不见了"),
        "blow out": ("{s}被吹灭，一片黑暗", "然后{s}熄灭，画面变暗"),
        "knock over": ("{s}倒下，再也不动", "然后{s}被撞倒，一直倒着"),
        "occlusion": ("{s}从树后面经过，再次出现", "{s}从大树后面穿过，又出来"),
    },
    brief_events={
        "bite": ("{s}被咬了一口", "{s}有了咬痕"),
        "pop": ("{s}爆了", "{s}爆掉"),
        "blow out": ("{s}被吹灭", "{s}熄灭"),
        "knock over": ("{s}倒下", "{s}被撞倒"),
    },
)
# fmt: off
MEASURE = {
    "animal": "只", "bird": "只", "insect": "只", "face": "只", "fish": "条", "vehicle": "辆", "boat": "艘",
    "aircraft": "架", "plant": "朵", "ball": "个", "food": "个", "person": "个", "thing": "个",
}
# fmt: on
DIRECTIONS = {"left": "左", "right": "右", "up": "上", "down": "下"}
TURNS = {"clockwise": "顺时针", "anticlockwise": "逆时针"}
RELATIONS = {"left": "左边", "right": "右边", "above": "上方", "behind": "后面"}


class Chinese(Composer):
    """Composes one caption of `facts` in Chinese."""

    language = "zh"
    phrases = PHRASES
    directions = DIRECTIONS
    comma = "，"

    def noun(self, i: int, same: bool = False) -> str:
        """Name subject `i` with a measure word: "一只橙色的猫"; `same`: the one of the shot before."""
        subject = self.facts["subjects"][i]
        lead = "同一" if same else "一"
        colour = ""
        if self.with_colour and not same:
            colour = "和".join(self.words[c].say("zh")[0] for c in subject["colours"]) + "的"
        return f"{lead}{MEASURE[subject['kind']]}{colour}{self.names[i]}"

    def action(self, i: int, motion: str) -> str:
        """Say what subject `i` does: "向左走"."""
        subject = self.facts["subjects"][i]
        if motion in ("left", "right"):
            go = self.pick(self.phrases.verbs[subject["kind"]])
            return self.pick(self.phrases.sideways).format(d=DIRECTIONS[motion], o=DIRECTIONS[OPPOSITES[motion]], v=go)
        if motion == "spin" and self.length == "long":
            return TURNS.get(subject["turn"], "") + self.pick(self.phrases.motions["spin"][:1])
        return self.pick(self.phrases.motions[motion])

    def clause(self, shot: dict[str, Any], place: str, same: bool) -> str:
        """Say who does what where; `same`: the subject is that of the shot before."""
        motions = shot["motions"]
        if len(motions) > 1:
            return f"{place}，{self.company(shot)}"
        who, does = self.noun(0, same), self.action(0, motions[0])
        return self.pick((f"{place}，{who}{does}", f"{who}在{place}{does}", f"在{place}，{who}正在{does}"))

    def company(self, shot: dict[str, Any]) -> str:
        """Say who does what, in which relation to whom: "一只猫在一只狗的左边，两个都上升"."""
        motions = shot["motions"]
        (a, kind, b), *others = shot["relations"]
        if kind == "orbit":
            around, go = self.pick(("绕着", "围绕")), self.pick(("转圈", "飞", "移动"))
            said = f"{self.noun(a)}{around}{self.noun(b)}{go}"
        elif kind == "follow":
            said = f"{self.noun(a)}{self.pick(('跟着', '追着'))}{self.noun(b)}向{DIRECTIONS[motions[a]]}移动"
        elif motions[a] == motions[b]:
            said = f"{self.noun(a)}在{self.noun(b)}的{RELATIONS[kind]}"
            if motions[a] != "still" or self.length != "short":
                said += f"，两个都{self.action(a, motions[a])}"
        else:
            said = f"{self.noun(a)}在{self.noun(b)}的{RELATIONS[kind]}{self.action(a, motions[a])}"
            if motions[b] != "still":
                said += f"，{self.names[b]}{self.action(b, motions[b])}"
        for c, other, d in others:
            said += f"，{self.names[c]}在{self.noun(d)}的{RELATIONS[other]}"
        return said

    def place(self, shot: dict[str, Any]) -> str:
        """Say where, and what is not ordinary about the time and weather."""
        time = self.pick(self.phrases.times[shot["time_of_day"]]) if self.says_time(shot) else ""
        said = time + self.where(shot)
        if shot["weather"] != "clear":
            said += "，" + self.pick(self.phrases.weathers[shot["weather"]])
        return said

    def shot(self, shot: dict[str, Any], number: int) -> list[str]:
        """Describe shot `number`, from 0; in later shots the subject is "同一只猫"."""
        brief, place = self.brief_event(), self.place(shot)
        said = f"{place}，{brief}" if brief else self.clause(shot, place, same=number > 0)
        if len(self.facts["shots"]) > 1:
            said = self.pick(("然后切换到", "接着镜头切换到") if number else ("首先，", "第一个镜头，")) + said
        return [said, *self.camera(shot)]

    def in_style(self, style: str, part: str) -> str:
        """Put the style first: "铅笔画，一只猫"."""
        return f"{style}，{part}"

    def background(self, shot: dict[str, Any]) -> str:
        """Say what the background of a shot shows: "背景是蓝天白云"."""
        return f"背景是{self.pick(self.phrases.details[shot['scene']])}"

    def mood(self, shot: dict[str, Any]) -> str:
        """Say the mood of a shot's scene: "气氛宁静"."""
        return f"{self.pick(('气氛', '氛围'))}{self.pick(self.phrases.moods[shot['scene']])}"

    def join(self, parts: list[str]) -> str:
        """Join the parts: to sentences in long captions, with commas in others; short ones have no full stop."""
        return ("。" if self.length == "long" else "，").join(parts) + ("" if self.length == "short" else "。")
