/**
 * What the parts of the extension share: elements, words in two languages, panels on nodes, files of the server.
 * The frontend loads every file of this folder by itself; none needs a build.
 */

import { app } from "../../../scripts/app.js";

/** @typedef {{filename: string, subfolder?: string, type?: string}} SavedFile a file in one of the server's folders */

/** English and Chinese. What stands in braces is filled in. */
const WORDS = {
  add: ["Add a shot", "添加镜头"],
  badge_blocked: ["blocked", "已拦截"],
  badge_checked: ["checked", "已检查"],
  badge_signed: ["signed", "已签名"],
  cached: ["Cached", "已缓存"],
  cached_why: ["Nothing has changed since the last run: the result is still there.", "自上次运行以来没有任何更改：结果仍在。"],
  compare_empty: ["Run the graph to compare the videos.", "运行工作流后即可对比视频。"],
  divider: ["Divider", "分割线"],
  fit: ["shots: {count}, {seconds} s", "镜头：{count}，{seconds} 秒"],
  frame: ["frame {frame} of {frames}", "第 {frame} / {frames} 帧"],
  grid: ["Grid", "网格"],
  held: ["The queue is on hold", "队列已暂停"],
  held_no_more: ["The queue goes on", "队列继续运行"],
  interrupted: ["Interrupted", "已中断"],
  interrupted_why: [
    "The server ended while these jobs were running. Queue them again?",
    "这些任务运行时服务器已停止。要重新排队吗？",
  ],
  keys: [
    "Arrows: choose. Alt: move. Shift: longer, shorter. Enter: prompt. L: keep. Delete: remove.",
    "方向键：选择；Alt：移动；Shift：加长、缩短；Enter：提示词；L：保留；Delete：删除。",
  ],
  kept: ["kept", "保留"],
  linked: ["The shots come from a connected node.", "镜头来自所连接的节点。"],
  lock: ["Keep this shot as it is", "保留此镜头不变"],
  made: ["made", "生成"],
  next: ["Next frame", "下一帧"],
  patch: [
    "token {token}: time {time}, row {row}, column {column}, {state}",
    "词元 {token}：时间 {time}，行 {row}，列 {column}，{state}",
  ],
  patches_empty: ["Run the graph to see the patches.", "运行工作流后即可查看时空块。"],
  patches_of: ["time {time} of {times} · {count} tokens, {kept} kept", "时间 {time} / {times} · {count} 个词元，保留 {kept} 个"],
  pause: ["Pause", "暂停"],
  play: ["Play", "播放"],
  previous: ["Previous frame", "上一帧"],
  prompt: ["What the shot shows", "镜头的内容"],
  remove: ["Remove the shot", "删除镜头"],
  scrub: ["Time", "时间"],
  shot: ["Shot {number}: {prompt}, {seconds} s.", "镜头 {number}：{prompt}，{seconds} 秒。"],
  slider: ["Slider", "滑块"],
  timeline: ["Timeline of the shots", "镜头时间线"],
  versus: ["Compare with", "对比"],
  video_first: ["first", "第一个"],
  video_second: ["second", "第二个"],
  video_third: ["third", "第三个"],
  video_fourth: ["fourth", "第四个"],
};

/**
 * Say something in the frontend's language.
 * @param {string} key of `WORDS`
 * @param {Record<string, string | number>} [values] for what stands in braces
 */
export function say(key, values = {}) {
  const locale = app.extensionManager?.setting?.get("Comfy.Locale") ?? navigator.language;
  const [english, chinese] = WORDS[key];
  return (String(locale).startsWith("zh") ? chinese : english).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/**
 * Make an element. Properties that an element has are set, the others become attributes.
 * @param {string} tag
 * @param {Record<string, any>} [properties] `on` holds listeners by event
 * @param {...(Node | string)} children
 */
export function make(tag, { on = {}, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  element.append(...children);
  return element;
}

/**
 * Make a button with an icon for a face and words for its tooltip.
 * @param {string} icon
 * @param {string} title
 * @param {() => void} click
 */
export function button(icon, title, click) {
  return make("button", { type: "button", title, "aria-label": title, on: { click } }, iconOf(icon));
}

/**
 * Make a slider over whole numbers from 0.
 * @param {string} title
 * @param {(value: number) => void} slid
 */
export function slider(title, slid) {
  const made = make("input", { type: "range", min: 0, max: 0, step: 1, value: 0, title, "aria-label": title });
  made.addEventListener("input", () => slid(made.valueAsNumber));
  return made;
}

/**
 * Make an icon of the set that the frontend has.
 * @param {string} name of PrimeIcons
 */
export function iconOf(name) {
  return make("i", { className: `pi pi-${name}`, "aria-hidden": "true" });
}

const MARGIN = 8; // pixels around a panel, where the frontend draws nodes on its canvas

/**
 * Put a panel under the widgets of a node, in either renderer of the frontend. It is not part of the workflow.
 * @param {object} node
 * @param {string} name
 * @param {HTMLElement} element
 * @param {{height: number, width?: number, grows?: boolean}} size the least, in pixels; what grows takes the rest
 */
export function addPanel(node, name, element, { height, width = 0, grows = false }) {
  element.classList.add("sora-panel");
  element.dataset.panel = name;
  element.style.minHeight = `${height}px`;
  // What is meant for the panel must not drag the node, or delete it.
  const stop = (event) => !event.button && event.stopPropagation();
  for (const type of ["pointerdown", "keydown", "keyup", "dblclick"]) element.addEventListener(type, stop);
  const outer = height + 2 * MARGIN;
  const limits = { margin: MARGIN, getMinHeight: () => outer, ...(grows ? {} : { getMaxHeight: () => outer }) };
  const widget = node.addDOMWidget(name, "sora", element, { serialize: false, ...limits });
  widget.serialize = false;
  // Where a step was undone, Nodes 2.0 goes on to show the panel of the node that was there before.
  const takePlace = () => {
    const shown = document.querySelector(`[data-node-id="${CSS.escape(node.id)}"] [data-panel="${name}"]`);
    if (shown !== element) shown?.replaceWith(element);
  };
  follow(node, "onConfigure", () => setTimeout(takePlace));
  const least = node.computeSize();
  node.setSize([Math.max(node.size[0], least[0], width), Math.max(node.size[1], least[1])]);
  app.graph?.setDirtyCanvas(true, true);
}

/**
 * Call `after` whenever the frontend calls a hook of an object, behind what was there.
 * @param {object} target
 * @param {string} hook such as `onExecuted`
 * @param {(...values: any[]) => void} after
 */
export function follow(target, hook, after) {
  const before = target[hook];
  target[hook] = function (...values) {
    const answer = before?.apply(this, values);
    after(...values);
    return answer;
  };
}

/** Leave a node's pictures to its panel, in both renderers. */
export function hidePreviews(node) {
  node.hideOutputImages = true;
  node.onDrawBackground = () => {};
}

/**
 * Find a node by what the server calls it: ids from the outside in, for a node in a subgraph.
 * @param {string | number} id
 */
export function nodeOf(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

/**
 * Give the address of a file in one of the server's folders.
 * @param {SavedFile} file
 */
export function addressOf({ filename, subfolder = "", type = "output" }) {
  const path = `/view?${new URLSearchParams({ filename, subfolder, type })}`;
  return window.comfyAPI?.api?.api?.apiURL(path) ?? `/api${path}`;
}

const styles = new URL("./sora.css", import.meta.url).href;
if (!document.querySelector(`link[href="${styles}"]`)) {
  document.head.append(make("link", { rel: "stylesheet", href: styles }));
}
