// The page of the chat: what it shows, and nothing of the protocol. That is in aiomsg.js.

import { connect } from "./aiomsg.js";

const $ = (id) => document.getElementById(id);
const MINUTE = 60;

// Each message is kept, and sent again, until the hub has handled it.
const socket = connect("/aiomsg", { delivery: "at-least-once" });
/** The hub's messages that are shown, by what the hub numbers them with. */
const shown = new Set();
/** Messages of this page that have not come back from the hub. */
const pending = new Map();
const rates = { in: [], out: [] };

socket.addEventListener("up", ({ detail }) => {
  introduce();
  note(`Connected to ${short(detail.peer)}.`);
});
socket.addEventListener("down", ({ detail }) => note(`Connection lost: ${detail.reason}. What you write now waits.`));
socket.addEventListener("change", showStatus);
setInterval(showStatus, 200);

// For people who look under the bonnet, and for tests.
window.chat = { socket };

$("name").value = localStorage.getItem("name") ?? `Guest ${socket.identity.slice(0, 4)}`;
$("name").addEventListener("change", () => {
  localStorage.setItem("name", $("name").value);
  introduce();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  say(text);
});
if (matchMedia("(max-width: 46rem)").matches) $("board").open = false;

// Whoever reads the end goes on doing so, also when a keyboard appears on the screen.
let atEnd = true;
$("log").addEventListener("scroll", ({ target }) => {
  atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 60;
});
new ResizeObserver(() => { if (atEnd) $("log").scrollTop = $("log").scrollHeight; }).observe($("log"));

receive();

async function receive() {
  for await (const message of socket) {
    try {
      const told = message.json();
      if (told.kind === "chat") showChat(told);
      else if (told.kind === "board") showBoard(told);
    } catch (error) {
      console.error("a message that this page does not understand", error);
    }
  }
}

function introduce() {
  const name = $("name").value.trim();
  if (name) for (const hub of socket.peers) socket.sendTo(hub, { kind: "name", name });
}

async function say(text) {
  const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const item = show({ who: $("name").value, text, mine: true, at: Date.now() });
  item.classList.add("pending");
  pending.set(id, item);
  try {
    await socket.send({ kind: "chat", text, id });
    mark(item, "delivered");
  } catch (error) {
    mark(item, `not sent: ${error.message}`);
  }
}

/** A message from the hub; one that this page said itself is there already. */
function showChat({ epoch, seq, id, peer, name, text, at }) {
  const key = `${epoch}/${seq}`;
  if (shown.has(key)) return;
  shown.add(key);
  const own = pending.get(id);
  if (own) {
    pending.delete(id);
    mark(own, "delivered");
  } else {
    show({ who: name, text, mine: peer === socket.identity, at, peer });
  }
}

function show({ who, text, mine, at, peer }) {
  const item = element("li", { className: mine ? "mine" : "" });
  if (!mine) item.style.setProperty("--hue", hue(peer));
  const time = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const meta = element("div", { className: "meta" });
  meta.append(element("span", { className: "who", textContent: mine ? "You" : who }));
  meta.append(element("span", { textContent: time }), element("span", { className: "mark" }));
  item.append(meta, element("p", { className: "said", textContent: text }));
  return append(item);
}

function mark(item, how) {
  item.classList.toggle("pending", how !== "delivered");
  item.querySelector(".mark").textContent = how === "delivered" ? "✓ delivered" : how;
}

function note(text) {
  append(element("li", { className: "note", textContent: text }));
}

function append(item) {
  const log = $("log");
  log.append(item);
  while (log.children.length > 500) log.firstChild.remove();
  if (atEnd || item.classList.contains("mine")) log.scrollTop = log.scrollHeight;
  return item;
}

function showStatus() {
  const [link] = socket.links;
  if (!link) return;
  const waits = link.retryAt === undefined ? 0 : Math.max(0, link.retryAt - performance.now());
  const text = {
    up: `Connected to ${short(link.peer)}`,
    connecting: link.attempts > 1 ? `Connecting, attempt ${link.attempts}…` : "Connecting…",
    waiting: `Reconnecting in ${(waits / 1000).toFixed(1)} s, attempt ${link.attempts + 1}`,
    closed: "Closed",
  }[link.state];
  $("status").dataset.state = link.state;
  // Not twice, or a screen reader says it twice.
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
  $("waiting").textContent = socket.outboxLength + socket.unacknowledged;
}

function showBoard({ peers, rate_in, rate_out, totals, join }) {
  $("peer-count").textContent = peers.length;
  $("rate-in").textContent = rate_in;
  $("rate-out").textContent = rate_out;
  for (const [line, value] of [["in", rate_in], ["out", rate_out]]) {
    rates[line].push(value);
    if (rates[line].length > MINUTE) rates[line].shift();
  }
  const most = Math.max(10, ...rates.in, ...rates.out);
  for (const line of ["in", "out"]) {
    const from = MINUTE - rates[line].length;
    const point = (value, index) => `${((from + index) * 300) / (MINUTE - 1)},${66 - (62 * value) / most}`;
    $(`line-${line}`).setAttribute("points", rates[line].map(point).join(" "));
  }
  $("chart-scale").textContent = `up to ${most} per second`;
  $("peers").replaceChildren(...peers.map(({ peer, name, transport, seconds }) => {
    const item = element("li", {});
    item.style.setProperty("--hue", hue(peer));
    const own = peer === socket.identity ? " (you)" : "";
    item.append(element("span", { className: "who", textContent: name + own, title: peer }));
    item.append(element("span", { className: "how", textContent: `${transport} · ${duration(seconds)}` }));
    return item;
  }));
  $("totals").textContent = `The hub has received ${totals.received} and sent ${totals.sent} messages in ${duration(totals.seconds)}.`;
  $("join").textContent = join;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

function short(identity) {
  return identity ? identity.slice(0, 8) : "…";
}

/** The same colour for the same peer; the style sheet makes it readable on its background. */
function hue(peer) {
  return parseInt(peer.slice(0, 4), 16) % 360;
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}
