/** What the queue has to say: a run had nothing to do, why a node failed, what the server's end interrupted. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { nodeOf, say } from "./shared.js";

const ASKED = "Sora.Jobs.Asked"; // in this browser: ids of interrupted jobs that somebody has decided about
const MOST = 20; // interrupted jobs that are offered at once

/** Say so when no node of a run had to run: nothing else on the page tells it. */
function tellCached() {
  /** The run that has not run any node yet. */
  let idle = null;
  api.addEventListener("execution_start", ({ detail }) => (idle = detail.prompt_id));
  api.addEventListener("executing", ({ detail }) => {
    if (typeof detail === "object" ? detail?.node : detail) idle = null;
  });
  api.addEventListener("progress_state", ({ detail }) => {
    if (Object.values(detail.nodes ?? {}).some(({ state }) => state === "running")) idle = null;
  });
  api.addEventListener("execution_success", ({ detail }) => {
    const nodes = (app.rootGraph ?? app.graph)?.nodes ?? [];
    if (idle !== detail.prompt_id || !nodes.some(({ type }) => String(type).startsWith("Sora"))) return;
    app.extensionManager.toast.add({ severity: "info", summary: say("cached"), detail: say("cached_why"), life: 4000 });
  });
}

/** Say why a node failed where it is seen: newer frontends keep a server's words two clicks away. */
function tellWhy() {
  api.addEventListener("execution_error", ({ detail }) => {
    // A traceback says that it is a fault of the program: the frontend's own report has it all.
    if (!ours() || detail.traceback?.length) return;
    const summary = nodeOf(detail.node_id)?.title ?? detail.node_type;
    app.extensionManager.toast.add({ severity: "error", summary, detail: detail.exception_message, life: 15000 });
  });
}

/** Say what holds the queue up, as a full disk does, and when it goes on. */
function tellHeld() {
  let told = "";
  const look = (status) => {
    const held = status?.held ?? "";
    if (held === told) return;
    told = held;
    const goesOn = { severity: "success", summary: say("held_no_more"), life: 4000 };
    const stands = { severity: "error", summary: say("held"), detail: held, life: 15000 };
    app.extensionManager.toast.add(held ? stands : goesOn);
  };
  api.addEventListener("status", ({ detail }) => look(detail));
  // The first status may have come before this script.
  const ask = async () => ours() && look(await (await api.fetchApi("/prompt")).json());
  api.addEventListener("feature_flags", ask);
  ask();
}

/** Whether the server is ours, which can queue a job again. */
function ours() {
  return api.getServerFeature?.("extension.sora.requeue", false);
}

function decided() {
  try {
    return JSON.parse(localStorage.getItem(ASKED)) ?? [];
  } catch {
    return [];
  }
}

let asking = false;

/** Ask once whether what the server's end interrupted is to run again; only our own server can do it. */
async function offerAgain() {
  if (asking || !ours()) return;
  asking = true;
  try {
    const answer = await api.fetchApi("/jobs?status=failed&limit=200");
    const known = decided();
    const lost = (await answer.json()).jobs.filter((job) => job.interrupted && !known.includes(job.id)).slice(0, MOST);
    if (!lost.length) return;
    const again = await app.extensionManager.dialog.confirm({
      title: say("interrupted"),
      message: say("interrupted_why"),
      itemList: lost.map((job) => new Date(job.create_time).toLocaleString()),
    });
    localStorage.setItem(ASKED, JSON.stringify([...known, ...lost.map(({ id }) => id)].slice(-200)));
    if (!again) return;
    const body = JSON.stringify({ client_id: api.clientId });
    const headers = { "Content-Type": "application/json" };
    // The oldest first, as they were. Another page may have been quicker: then there is nothing to do.
    for (const { id } of lost.reverse()) await api.fetchApi(`/jobs/${id}/requeue`, { method: "POST", headers, body });
  } finally {
    asking = false;
  }
}

app.registerExtension({
  name: "Sora.Jobs",
  setup() {
    tellCached();
    tellWhy();
    tellHeld();
    // At the start, and when the server is back.
    api.addEventListener("feature_flags", offerAgain);
    offerAgain();
  },
});
