// Live calls: the server sends what stands and then what happens; everything is put in as text, never as markup.
const box = document.getElementById("calls");
const none = document.getElementById("none");
const down = document.getElementById("down");
const state = document.getElementById("state");
const SHOWN_AFTER_S = 20;
const calls = new Map();

const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

function card(call) {
  const element = make("article", "card");
  const header = make("header");
  const title = make("h2", "", call.agent || "call");
  const from = [call.caller, call.dialled && `to ${call.dialled}`].filter(Boolean).join(" ");
  title.append(" ", make("span", "dim", from));
  const time = make("span", "dim n", "");
  const doing = make("span", "pill", "begins");
  const side = make("span");
  side.append(doing, " ", time);
  header.append(title, side);
  const talk = make("div", "talk");
  talk.tabIndex = 0;
  talk.setAttribute("role", "log");
  talk.setAttribute("aria-label", `Transcript of the call ${call.caller || call.call_id.slice(0, 8)}`);
  element.append(header, talk);
  box.append(element);
  return { element, talk, time, doing, began: call.began_at ?? call.at ?? Date.now() / 1000, turns: new Map(), ended: 0 };
}

function line(who, name, heard, rest) {
  const row = make("p", `line ${who}`);
  const words = make("span", "words", heard);
  if (rest) {
    const unheard = make("span", "unheard");
    unheard.append(make("span", "hidden", "not heard: "), rest);
    words.append(" ", unheard);
  }
  row.append(make("span", "who", name), words);
  return row;
}

function turn(held, data) {
  let part = held.turns.get(data.turn);
  if (!part) {
    part = make("div");
    held.turns.set(data.turn, part);
    held.talk.append(part);
  }
  part.replaceChildren();
  if (data.caller) part.append(line("caller", "Caller", data.caller));
  for (const said of data.said ?? []) {
    if (said.at === null || said.at === undefined) continue;
    const cut = data.cut_off && !said.complete;
    const heard = said.complete || cut ? said.heard : said.text;
    const cover = said.kind === "filler";
    part.append(line(cover ? "cover" : "agent", cover ? "Cover" : "Agent", heard.trim(), cut ? said.text.slice(said.heard.length).trim() : ""));
  }
  for (const tool of data.tools ?? []) {
    const took = tool.ms === null ? "running" : `${tool.ms} ms, ${tool.ok ? "ok" : tool.cause || "failed"}`;
    part.append(make("p", tool.ms !== null && !tool.ok ? "notes bad" : "notes dim", `tool ${tool.tool}: ${took}`));
  }
  if (data.gap_s !== null && data.gap_s !== undefined) {
    part.append(make("p", data.gap_s > 0.8 ? "notes late" : "notes dim", `${Math.round(data.gap_s * 1000)} ms to the answer`));
  }
  held.talk.scrollTop = held.talk.scrollHeight;
}

function happened(data) {
  let held = calls.get(data.call_id);
  if (!held) {
    if (data.event === "call_ended" || !data.call_id) return;
    held = card(data);
    calls.set(data.call_id, held);
  }
  if (data.event === "turn") turn(held, data.turn);
  if (data.event === "state") held.doing.textContent = words(data);
  if (data.event === "call_ended") end(data.call_id, held, data.record ?? {});
}

function words(data) {
  if (data.caller === "speaking") return "caller speaks";
  return { speaking: "agent speaks", thinking: "agent thinks", acting: "agent acts", ended: "ends" }[data.agent] ?? (data.agent || "listens").replace("_", " ");
}

function end(id, held, record) {
  held.ended = Date.now() / 1000;
  held.element.classList.add("gone");
  held.doing.textContent = { hangup: "ended", transfer: `to ${record.target || "a human"}`, fallback: "fallback" }[record.outcome] ?? "ended";
  const link = make("a", "", "See the call");
  link.href = `/calls/${encodeURIComponent(id)}`;
  const last = make("p");
  last.append(link);
  held.element.append(last);
}

function tick() {
  const now = Date.now() / 1000;
  for (const [id, held] of calls) {
    if (held.ended && now - held.ended > SHOWN_AFTER_S) {
      held.element.remove();
      calls.delete(id);
    } else {
      held.time.textContent = clock(Math.max(0, (held.ended || now) - held.began));
    }
  }
  const running = [...calls.values()].filter((held) => !held.ended).length;
  none.hidden = calls.size > 0 || !down.hidden || state.textContent === "connecting";
  if (state.classList.contains("on")) state.textContent = `${running} call${running === 1 ? "" : "s"} now`;
}

function standing(found) {
  down.hidden = true;
  state.className = "pill on";
  state.textContent = "connected";
  for (const held of calls.values()) held.element.remove();
  calls.clear();
  for (const call of found) {
    const held = card(call);
    calls.set(call.call_id, held);
    if (call.state) held.doing.textContent = words(call.state);
    for (const data of call.turns ?? []) turn(held, data);
  }
  tick();
}

function absent(text) {
  for (const held of calls.values()) held.element.remove();
  calls.clear();
  state.className = "pill off";
  state.textContent = "no daemon";
  down.textContent = text;
  down.hidden = false;
  tick();
}

const source = new EventSource("/live/events");
source.addEventListener("calls", (event) => standing(JSON.parse(event.data).calls));
source.addEventListener("happening", (event) => {
  happened(JSON.parse(event.data));
  tick();
});
source.addEventListener("down", (event) => absent(JSON.parse(event.data).text));
source.addEventListener("error", () => absent("The dashboard does not answer. It is tried again by itself; if it was restarted, log in again."));
addEventListener("pagehide", () => source.close());
setInterval(tick, 1000);
