/** Badges on nodes that checked, signed or blocked something, with the reason as tooltip. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { addPanel, iconOf, make, nodeOf, say } from "./shared.js";

/** @typedef {{state: "checked" | "signed" | "blocked", why: string}} Badge */

const ICONS = { checked: "check-circle", signed: "verified", blocked: "ban" };
const BLOCKED = /(Prompt|Frames)Blocked$/; // errors of ours that say so

/** Where the badges of a node stand. @type {WeakMap<object, HTMLElement>} */
const places = new WeakMap();

/**
 * Show badges on a node in place of those it has.
 * @param {object | null} node
 * @param {Badge[]} badges
 */
function show(node, badges) {
  if (!node || (!badges.length && !places.has(node))) return;
  if (!places.has(node)) {
    const place = make("div", { className: "sora-badges" });
    places.set(node, place);
    addPanel(node, "sora_badges", place, { height: 24 });
  }
  places.get(node).replaceChildren(
    ...badges.map(({ state, why }) => {
      const word = say(`badge_${state}`);
      const label = `${word}: ${why}`;
      const looks = { className: `sora-badge sora-${state}`, title: why };
      return make("span", { ...looks, tabIndex: 0, role: "note", "aria-label": label }, iconOf(ICONS[state]), word);
    }),
  );
}

/** Nodes that were blocked in the last run. @type {Set<object>} */
const blocked = new Set();

app.registerExtension({
  name: "Sora.Badges",
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const badges = detail.output?.sora_badges;
      if (badges) show(nodeOf(detail.display_node ?? detail.node), badges);
    });
    api.addEventListener("execution_start", () => {
      for (const node of blocked) show(node, []);
      blocked.clear();
    });
    api.addEventListener("execution_error", ({ detail }) => {
      const node = BLOCKED.test(detail.exception_type ?? "") && nodeOf(detail.node_id);
      if (!node) return;
      blocked.add(node);
      show(node, [{ state: "blocked", why: detail.exception_message.trim() }]);
    });
  },
});
