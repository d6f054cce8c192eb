"use strict";

// What the node told last. Texts are only ever set as text, never as markup.
const known = { state: null, jobs: [], accounts: [], validators: null, peers: [], blocks: [],
  pending: null, trees: new Map(), chosen: null };
const COLOURS = 8;
const DARK_COLOUR = 4;
const PAST = 64;
const CARDS = 2;
const PITCH = { 1: 168, 2: 168, 4: 152, 8: 150 };
const PITCH_MANY = 132;
const BOX = 60;
const ROW = 96;
const STRIP = 8;
const EARNINGS = new Set(["AWARD_PAY", "BACKUP_PAY", "CO_PAY", "OPEN_PAY", "OPERATION_FEE",
  "ORPHAN_PAY", "PROVER_PAY", "SEQUENCER_SHARE", "TAKEOVER_PAY", "UNCLE_PAY", "VOID_PAY"]);
const SENTENCES = { WAITING: "its inputs are missing", OPEN: "it may be proven",
  OWN: "its own prover's proof is recorded",
  TAKEN_OVER: "the proof of who took it over is recorded",
  BY_ANYBODY: "it was open to anybody, and somebody proved it",
  LOST: "the job ended without a proof of it" };
const STANDING = { OWN: "", TAKEN_OVER: "takeover", BY_ANYBODY: "open" };

// --- making elements ---

function make(name, attributes, ...children) {
  const isDrawn = DRAWN.has(name);
  const one = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "onclick") one.addEventListener("click", value);
    else if (value !== null && value !== undefined) one.setAttribute(key, value);
  }
  one.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return one;
}
const DRAWN = new Set(["svg", "rect", "path", "text", "g", "title", "circle"]);
const place = (id) => document.getElementById(id);
const fill = (id, ...children) => place(id).replaceChildren(...children.flat(Infinity));
const number = (value) => value.toLocaleString("en-US");
const words = (name) => name.toLowerCase().replaceAll("_", " ");
const plural = (count, word) => count === 1 ? `1 ${word}`
  : `${number(count)} ${word.replace(/y$/, "ie")}s`;
const cut = (text, letters) => text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
const seconds = (span_ms) => `${(span_ms / 1000).toFixed(1)} s`;

function table(headings, rows, kind) {
  const cells = (row, tag) => row.map((cell, at) =>
    make(tag, { class: headings[at].startsWith("#") ? "number" : null }, cell));
  const names = headings.map((one) => one.replace(/^#/, ""));
  return make("table", { class: kind },
    make("thead", {}, make("tr", {}, cells(names, "th"))),
    make("tbody", {}, rows.map((row) => make("tr", {}, cells(row, "td")))));
}

// --- names and colours ---

function nameOf(account) {
  if (account === null) return "anybody";
  const found = known.accounts.find((one) => one.account === account);
  return found?.name ?? account.slice(0, 8);
}
function provers() {
  const all = known.accounts.filter((one) => one.prover_stake > 0 || one.reliability.due > 0
    || one.reliability.taken_over > 0);
  const order = new Intl.Collator("en", { numeric: true });
  return all.sort((one, other) => order.compare(nameOf(one.account), nameOf(other.account)));
}
function colourOf(account) {
  const at = provers().findIndex((one) => one.account === account);
  return at < 0 ? "nobody" : `p${at % COLOURS}`;
}
function inkOn(account) {
  return colourOf(account) === `p${DARK_COLOUR}` ? "on-dark" : "on-light";
}
function swatch(account) {
  return make("svg", { class: "swatch", width: 14, height: 12, "aria-hidden": "true" },
    make("rect", { class: colourOf(account), width: 14, height: 12, rx: 2 }));
}
function placeName(index, job) {
  const [level, position] = index;
  if (2 ** level === job.leaves) return "the root";
  return level === 0 ? `leaf ${position}` : `merge ${level}:${position}`;
}

// --- the network now ---

function showTop() {
  const now = known.state;
  document.title = `${now.name} · tick ${now.tick}`;
  fill("title", now.name);
  const proofs = now.backend === "modelled"
    ? "modelled proofs (attestations that take as long)" : "real proofs";
  fill("subtitle", `as ${now.node} sees it · ${proofs} · blocks by ${now.sequencing.name}, `
    + `proving by ${now.proving.name} · network ${now.network.slice(0, 12)}`);
  const alarm = place("alarm");
  alarm.hidden = now.halted === null;
  alarm.textContent = now.halted === null ? "" : `This node stopped voting: ${now.halted}`;
  const inEpoch = now.tick === 0 ? 0 : (now.tick - 1) % now.epoch_ticks + 1;
  const proving = known.accounts.filter((one) => one.prover_stake > 0).length;
  const meter = make("meter", { min: 0, max: now.epoch_ticks, value: inEpoch,
    "aria-label": "ticks of this epoch" });
  const tile = (value, name, ...more) =>
    make("li", {}, make("b", {}, value), make("span", {}, name), ...more);
  fill("tiles",
    tile(number(now.tick), "ticks final"),
    tile(number(now.epoch), `epoch, tick ${inEpoch} of ${now.epoch_ticks}`, meter),
    tile(number(now.jobs_settled), "blocks proven and paid"),
    tile(number(now.jobs_open), "being proven"),
    tile(number(now.jobs_void), "void"),
    tile(number(known.validators.validators.length), "validators"),
    tile(number(proving), "provers with stake"),
    tile(number(now.peers), "peers of this node"),
    tile(`${now.slot_ms / 1000} s`, "slot"));
}

function showLog() {
  const blocks = [...known.blocks].reverse();
  if (blocks.length === 0) {
    fill("log-words", "");
    fill("log", make("p", { class: "nothing-yet" },
      "No log block is final yet. An idle log does not grow: it waits for an operation."));
    return;
  }
  const first = blocks[0].slot;
  const span = Math.max(40, blocks.at(-1).slot - first + 1);
  const most = Math.max(4, ...blocks.map((one) => one.operations));
  const step = 100 / span;
  const drawn = [make("rect", { class: "gap", x: 0, y: 74, width: "100%", height: 2 })];
  for (const one of blocks) {
    const height = one.operations === 0 ? 6 : 10 + 60 * one.operations / most;
    const kind = one === blocks.at(-1) ? "newest" : one.operations === 0 ? "idle" : "block";
    drawn.push(make("g", {},
      make("title", {}, `tick ${one.tick}, slot ${one.slot}: `
        + `${plural(one.operations, "operation")}, proposed by ${nameOf(one.proposer)}`),
      make("rect", { class: kind, x: `${(one.slot - first) * step}%`, y: 74 - height,
        width: `${step * 0.8}%`, height, rx: 1 })));
  }
  const operations = blocks.reduce((sum, one) => sum + one.operations, 0);
  const skipped = blocks.at(-1).slot - first + 1 - blocks.length;
  fill("log-words", `The last ${plural(blocks.length, "final block")}: `
    + `${plural(operations, "operation")}; ${skipped === 0 ? "no slot" : plural(skipped, "slot")} `
    + "between them without a block. "
    + "A bar is a block, its height the operations that it orders; a low pale one has none.");
  fill("log", make("svg", { class: "log", role: "img",
    "aria-label": `operations of the last ${blocks.length} final log blocks` }, drawn));
}

// --- proof trees ---

function thirdLine(node) {
  const paid = node.payments.filter((one) => one.account !== null)
    .reduce((sum, one) => sum + one.amount, 0);
  const more = paid > 0 ? ` · +${number(paid)}` : "";
  const left = node.closes === null ? null : node.closes - known.state.tick;
  const running = node.own_proof !== null && node.own_proof.wall_ms === null
    && node.own_proof.given_up === null;
  switch (node.standing) {
    case "OWN": return `its own${more}`;
    case "TAKEN_OVER": return `taken over${more}`;
    case "BY_ANYBODY": return `by anybody${more}`;
    case "LOST": return "no proof";
    case "OPEN":
      if (running) return "proven here now";
      if (node.holder === null) return "open to anybody";
      return left === null ? "open" : `${plural(Math.max(0, left), "tick")} left`;
    default: return running ? "proven here now" : "waits for inputs";
  }
}

function nodeTitle(node, job) {
  const owners = node.owners.map(nameOf).join(", ") || "anybody";
  const parts = [`${placeName(node.index, job)}: assigned to ${owners}`];
  if (node.prover !== null) parts.push(`proof of ${nameOf(node.prover)} at tick ${node.recorded}`);
  return parts.join("; ");
}

function nodeBox(node, job, pitch) {
  const [level, position] = node.index;
  const levels = Math.log2(job.leaves);
  const width = pitch - 14;
  const left = pitch * (2 * position + 1) * 2 ** level / 2 - width / 2;
  const top = 4 + ROW * (levels - level);
  const box = { x: left, y: top, width, height: BOX, rx: 6 };
  const isProven = node.prover !== null;
  const isStriped = !isProven || !node.owners.includes(node.prover);
  const ink = isProven ? inkOn(node.prover) : "";
  const who = isProven ? node.prover : node.standing === "OPEN" ? node.holder : node.owners[0] ?? null;
  const room = (letter) => Math.floor((width - STRIP - 10) / letter);
  const line = (at, text, kind, letter) => make("text", { class: `${kind} ${ink}`,
    x: left + STRIP + 8, y: top + 17 + 18 * at }, cut(text, room(letter)));
  const shapes = [make("title", {}, nodeTitle(node, job)),
    make("rect", { class: isProven ? colourOf(node.prover) : "empty", ...box })];
  if (isStriped) {
    shapes.push(make("rect", { class: colourOf(node.owners[0] ?? null), x: left + 3, y: top + 5,
      width: STRIP, height: BOX - 10, rx: 2, stroke: "#14171b" }));
  }
  shapes.push(make("rect", { class: `outline ${STANDING[node.standing] ?? ""}`, ...box }),
    line(0, placeName(node.index, job), "strong", 7.2), line(1, nameOf(who), "", 7.2),
    line(2, thirdLine(node), "small", 6));
  if (node.standing === "OPEN" && node.closes !== null) {
    const share = (known.state.tick - node.opened) / Math.max(1, node.closes - node.opened);
    const long = width - 12;
    shapes.push(make("rect", { class: "window-back", x: left + 6, y: top + BOX - 4, width: long,
      height: 2 }), make("rect", { class: "window", x: left + 6, y: top + BOX - 4,
      width: long * Math.min(1, Math.max(0, share)), height: 2 }));
  }
  const open = () => showNode(node, job);
  const group = make("g", { class: "node", tabindex: 0, role: "button", onclick: open }, shapes);
  group.addEventListener("keydown", (key) => { if (key.key === "Enter") open(); });
  return group;
}

function treePicture(tree) {
  const job = tree.job;
  const levels = Math.log2(job.leaves);
  const pitch = PITCH[job.leaves] ?? PITCH_MANY;
  const width = pitch * job.leaves;
  const height = ROW * levels + BOX + 8;
  const middle = (level, position) => pitch * (2 * position + 1) * 2 ** level / 2;
  const edges = tree.nodes.filter((one) => one.index[0] > 0).flatMap((one) => [0, 1].map((side) => {
    const [level, position] = one.index;
    const from = 4 + ROW * (levels - level) + BOX;
    const to = 4 + ROW * (levels - level + 1);
    return make("path", { class: "edge", d: `M${middle(level, position)} ${from}V${(from + to) / 2}`
      + `H${middle(level - 1, 2 * position + side)}V${to}` });
  }));
  return make("div", { class: "scroll" }, make("svg", { class: job.leaves > 4 ? "tree wide" : "tree",
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": `proof tree of block ${job.number}` },
    edges, tree.nodes.map((one) => nodeBox(one, job, pitch))));
}

function jobCard(tree) {
  const job = tree.job;
  const state = { OPEN: ["being proven", ""], SETTLED: ["proven and paid", "good"],
    VOID: ["void", "bad"] }[job.outcome];
  const took = job.closed === null ? `open for ${plural(known.state.tick - job.opened, "tick")}`
    : `took ${plural(job.closed - job.opened, "tick")}`;
  const kind = job.leaves > 4 ? "job wide" : "job";
  return make("article", { class: kind, "data-job": job.job },
    make("header", {}, make("b", {}, `Block ${job.number}`),
      make("span", { class: `badge ${state[1]}` }, state[0]),
      make("span", { class: "soft" }, `${job.recorded} of ${job.tree_nodes} proofs · `
        + `fees ${number(job.fees)}, ${job.fee_split / 100} % to provers · `
        + `by ${nameOf(job.sequencer)} · ${took}`)),
    treePicture(tree));
}

function miniTree(tree) {
  const levels = Math.log2(tree.job.leaves);
  const pitch = 10;
  const width = Math.max(44, pitch * tree.job.leaves);
  const drawn = tree.nodes.map((node) => {
    const [level, position] = node.index;
    const over = node.prover !== null && !node.owners.includes(node.prover) ? "over" : "";
    return make("rect", { class: node.prover === null ? "none" : `${colourOf(node.prover)} ${over}`,
      x: pitch * (2 * position + 1) * 2 ** level / 2 - 4, y: 1 + 11 * (levels - level),
      width: 8, height: 8, rx: 2 });
  });
  const chosen = known.chosen === tree.job.job;
  const how = tree.job.outcome === "SETTLED" ? "" : ` · ${words(tree.job.outcome)}`;
  return make("button", { class: "mini", "aria-pressed": chosen, onclick: () => {
    known.chosen = chosen ? null : tree.job.job;
    showTrees();
  } }, `block ${tree.job.number}${how}`, make("svg", { width, height: 11 * (levels + 1),
    "aria-hidden": "true" }, drawn));
}

function showTrees() {
  const trees = known.jobs.map((job) => known.trees.get(job.job)).filter(Boolean);
  const open = trees.filter((one) => one.job.outcome === "OPEN").reverse();
  const past = trees.filter((one) => one.job.outcome !== "OPEN");
  const chosen = past.filter((one) => one.job.job === known.chosen);
  const newest = past.filter((one) => one.job.job !== known.chosen);
  const room = Math.max(0, CARDS - open.length - chosen.length);
  const shown = [...chosen, ...newest.slice(0, room).reverse(), ...open];
  if (shown.length === 0) {
    fill("trees", make("p", { class: "nothing-yet" }, "No rollup block is sealed yet. "
      + "Its proof tree appears here as soon as a sequencer is elected and reveals its block."));
    fill("legend");
  } else {
    const scrolled = new Map([...document.querySelectorAll(".job")].map((one) =>
      [one.dataset.job, one.querySelector(".scroll").scrollLeft]));
    fill("trees", make("div", { class: "jobs" }, shown.map(jobCard)));
    for (const one of document.querySelectorAll(".job")) {
      one.querySelector(".scroll").scrollLeft = scrolled.get(one.dataset.job) ?? 0;
    }
    fill("legend", legend());
  }
  place("past-title").hidden = past.length === 0;
  fill("past", past.slice(0, PAST).map(miniTree));
}

function legend() {
  const sample = (kind) => make("svg", { width: 22, height: 12, "aria-hidden": "true" },
    make("rect", { class: kind, x: 1, y: 1, width: 20, height: 10, rx: 3 }));
  const row = (picture, text) => make("li", {}, picture, text);
  return make("ul", { class: "legend" },
    provers().slice(0, 16).map((one) => row(swatch(one.account), nameOf(one.account))),
    row(sample("outline"), "its own"),
    row(sample("outline takeover"), "taken over; the strip is whose it was"),
    row(sample("outline open"), "open to anybody"),
    row(sample("empty outline"), "no proof recorded; the line below is its window"));
}

// --- people ---

function moneyButton(account, text) {
  return make("button", { class: "number", title: "show the operations behind this number",
    onclick: () => showLedger(account) }, text);
}

function keptBar(one) {
  const { due, kept } = one.reliability;
  const wide = 90;
  const front = due === 0 ? 0 : wide * kept / due;
  const bar = make("svg", { class: "kept", width: wide, height: 9, "aria-hidden": "true" },
    make("rect", { class: due === 0 ? "nothing" : "back", width: wide, height: 9, rx: 2 }),
    make("rect", { class: "front", width: front, height: 9, rx: 2 }));
  const text = due === 0 ? "nothing due yet"
    : `${kept} of ${due}, ${(100 * kept / due).toFixed(kept === due || kept === 0 ? 0 : 1)} %`;
  return make("span", {}, bar, text);
}

function showProvers() {
  const rows = provers().map((one) => [
    make("span", {}, swatch(one.account), nameOf(one.account), one.is_own ? " (this node)" : ""),
    number(one.prover_stake), keptBar(one), number(one.reliability.taken_over),
    number(one.reliability.missed), number(one.reliability.uncles),
    number(one.reliability.slashes), moneyButton(one.account, number(one.income))]);
  fill("provers", rows.length === 0
    ? make("p", { class: "nothing-yet" }, "Nobody has prover stake.")
    : table(["prover", "#stake", "its own tree nodes proven", "#taken over from others",
      "#windows missed", "#uncles", "#slashed", "#income"], rows, "wide"));
}

function showValidators() {
  const told = known.validators;
  const rows = told.validators.map((one) => {
    const account = known.accounts.find((other) => other.account === one.account);
    return [nameOf(one.account), number(one.log_stake),
      `${(100 * one.log_stake / told.stake).toFixed(1)} %`, number(one.proposed),
      account ? moneyButton(one.account, number(account.income)) : ""];
  });
  fill("validators", table(["validator", "#log stake", "#share",
    `#of the last ${told.blocks} blocks`, "#income"], rows, "wide"));
}

function showHere() {
  const own = known.accounts.find((one) => one.is_own);
  const now = known.state;
  const kinds = new Map();
  for (const one of known.pending.operations) kinds.set(one.kind, (kinds.get(one.kind) ?? 0) + 1);
  const waiting = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ");
  const row = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
  fill("here",
    make("dl", {}, row("account", make("code", {}, now.account)),
      own ? row("balance", moneyButton(own.account, number(own.balance))) : [],
      row("state", make("code", {}, now.digest)),
      row("waits to be ordered", waiting || "nothing")),
    make("h3", {}, `Connected to ${plural(known.peers.length, "peer")}`),
    make("ul", { class: "chips" },
      known.peers.map((one) => make("li", {}, one.name ?? one.account.slice(0, 8)))));
}

// --- one click further ---

function showDialog(title, ...children) {
  fill("dialog-title", title);
  fill("dialog-body", ...children);
  const dialog = place("dialog");
  if (!dialog.open) dialog.showModal();
}

async function showLedger(account) {
  const told = await ask(`/v1/accounts/${account}/ledger?limit=200`);
  const earned = told.totals.filter((one) => EARNINGS.has(one.cause) && one.gained > 0);
  const income = earned.reduce((sum, one) => sum + one.gained, 0);
  const totals = table(["cause", "#gained", "#lost"], told.totals.map((one) =>
    [words(one.cause), number(one.gained), number(one.lost)]));
  const rows = told.entries.map((one) => {
    const about = one.number === null ? "" : `block ${one.number}`
      + (one.index === null ? "" : `, ${one.index.join(":")}`);
    const behind = one.operation === null ? "" : `${one.operation.kind} `
      + `${one.operation.hash.slice(0, 8)} by ${nameOf(one.operation.sender)}`
      + (one.operation.refused === null ? "" : `, refused: ${words(one.operation.refused)}`);
    return [number(one.tick), `${one.amount > 0 ? "+" : "−"}${number(Math.abs(one.amount))}`,
      words(one.cause), words(one.pocket), about, behind];
  });
  const entries = table(["#tick", "#amount", "cause", "pocket", "for", "operation behind it"], rows);
  const older = told.left_out === 0 ? "These are all of them."
    : `${plural(told.left_out, "older entry")} not shown.`;
  showDialog(`Gains and losses of ${nameOf(account)}`,
    make("p", {}, `Income ${number(income)}: what it earned by `
      + `${earned.map((one) => words(one.cause)).join(", ") || "nothing yet"}.`),
    totals, make("h3", {}, `${plural(rows.length, "last entry")}`),
    make("p", { class: "soft" }, older), make("div", { class: "scroll" }, entries));
}

function showNode(node, job) {
  const tick = (value) => value === null ? "not yet" : `tick ${value}`;
  const names = (list) => list.map(nameOf).join(", ") || "nobody";
  const rows = [["now", SENTENCES[node.standing]],
    ["assigned to", node.owners.map(nameOf).join(", ") || "anybody"],
    ["present right", node.opened === null ? "not open yet" : nameOf(node.holder)],
    ["open since", tick(node.opened)], ["a record counts from", tick(node.admissible)],
    ["window closes", tick(node.closes)],
    ["proof of", node.prover === null ? "nobody yet" : `${nameOf(node.prover)}, ${tick(node.recorded)}`],
    ["windows missed by", names(node.missed)], ["uncle claims of", names(node.uncles)],
    ["paid", node.payments.map((one) => `${number(one.amount)} to `
      + `${one.account === null ? "nobody" : nameOf(one.account)} (${words(one.cause)})`).join("; ")
      || "nothing yet"]];
  if (node.own_proof !== null) {
    const own = node.own_proof;
    rows.push(["proven by this node", own.given_up ?? (own.wall_ms === null ? "now"
      : `in ${seconds(own.wall_ms)} on ${plural(own.threads, "thread")}`)]);
  }
  const ledgers = [...new Set([node.prover, ...node.owners])].filter(Boolean).map((one) =>
    make("p", {}, moneyButton(one, `gains and losses of ${nameOf(one)}`)));
  showDialog(`Block ${job.number}, ${placeName(node.index, job)}`,
    make("dl", {}, rows.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    make("dl", {}, make("dt", {}, "job"), make("dd", {}, make("code", {}, job.job))), ledgers);
}

// --- reading the node ---

async function ask(path) {
  const reply = await fetch(path);
  const told = await reply.json();
  if (!reply.ok) throw new Error(`${told.sentence} (${told.hint})`);
  return told;
}

async function refresh() {
  const [state, jobs, accounts, validators, peers, blocks, pending] = await Promise.all([
    ask("/v1/state"), ask(`/v1/jobs?limit=${PAST + 8}`), ask("/v1/accounts?limit=200"), ask("/v1/validators"),
    ask("/v1/peers"), ask("/v1/blocks?limit=120"), ask("/v1/operations/pending?limit=200")]);
  Object.assign(known, { state, jobs: jobs.jobs, accounts: accounts.accounts, validators,
    peers: peers.peers, blocks: blocks.blocks, pending });
  const isStale = (job) => job.outcome === "OPEN"
    || known.trees.get(job.job)?.job.outcome !== job.outcome;
  const wanted = known.jobs.filter((job) => job.outcome === "OPEN").concat(
    known.jobs.filter((job) => job.outcome !== "OPEN").slice(0, PAST)).filter(isStale);
  const trees = await Promise.all(wanted.map((job) => ask(`/v1/jobs/${job.job}/tree`)));
  for (const tree of trees) known.trees.set(tree.job.job, tree);
  const kept = new Set(known.jobs.map((job) => job.job));
  for (const job of known.trees.keys()) if (!kept.has(job)) known.trees.delete(job);
  for (const show of [showTop, showLog, showTrees, showProvers, showValidators, showHere]) show();
  document.body.dataset.tick = state.tick;
}

function pulse(state, text) {
  const one = place("pulse");
  one.dataset.state = state;
  one.querySelector("span").textContent = text;
}

const PAUSE_MS = 400;
let isReading = false;
let isWanted = false;

// At most one reading at a time, and one more when something happened meanwhile.
async function read() {
  isWanted = true;
  if (isReading) return;
  isReading = true;
  while (isWanted) {
    isWanted = false;
    try {
      await refresh();
      tellAge();
    } catch (failure) {
      pulse("lost", `cannot read the node: ${failure.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  isReading = false;
}

let isConnected = false;
let lastBlock_ms = null;

function tellAge() {
  if (known.state === null || !isConnected) return;
  const now = known.state;
  if (now.block_age_ms === null) {
    pulse("live", "waiting for the first block");
    return;
  }
  const since_ms = lastBlock_ms === null ? now.block_age_ms : Date.now() - lastBlock_ms;
  const age = since_ms < 2000 ? "just now" : `${Math.round(since_ms / 1000)} s ago`;
  pulse("live", `tick ${number(now.tick)}, final ${age}`);
}

function follow() {
  const source = new EventSource("/v1/events");
  source.addEventListener("open", () => { isConnected = true; read(); });
  source.addEventListener("block", () => {
    lastBlock_ms = Date.now();
    const one = place("pulse");
    one.classList.remove("beat");
    requestAnimationFrame(() => one.classList.add("beat"));
    read();
  });
  source.addEventListener("dropped", () => read());
  source.addEventListener("error", () => {
    isConnected = false;
    pulse("lost", "the node does not answer; trying again");
  });
}

setInterval(tellAge, 1000);
setInterval(read, 10000);
follow();
read();
