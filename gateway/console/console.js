// What a script adds to the pages: live rows, keyboard shortcuts, copying. Every page works without it.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("has-script");
  const byId = (id) => document.getElementById(id);
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const parsed = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  const say = (text) => { byId("said").textContent = text; };

  // On a narrow screen the list of pages scrolls.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

  // --- copying ---
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = byId(button.dataset.copy);
    const text = from.value ?? from.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      say("copied");
    } catch {
      if (from.select) from.select(); else getSelection().selectAllChildren(from);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });

  // --- how long ago ---
  const spans = [[100, 1, "s"], [6000, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "d"]];
  const ago = (iso) => {
    const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
    const [, unit, name] = spans.find(([limit]) => seconds < limit);
    return `${Math.floor(seconds / unit)} ${name} ago`;
  };
  setInterval(() => all("time[data-ago]").forEach((each) => { each.textContent = ago(each.dateTime); }), 5000);

  // --- parts of a page that refresh themselves ---
  const swap = (old, fresh) => {
    const active = document.activeElement;
    if (old.contains(active) && active !== document.body) return;
    const open = new Map(all("details[id]", old).map((each) => [each.id, each.open]));
    all("details[id]", fresh).forEach((each) => { if (open.has(each.id)) each.open = open.get(each.id); });
    if (old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
  };
  const renew = async () => {
    const parts = all("[data-fresh][id]");
    const waits = parts.map((each) => Number(each.dataset.fresh)).filter((each) => each > 0);
    if (!waits.length) return;
    const wait = Math.min(...waits);
    await new Promise((done) => setTimeout(done, wait));
    if (!document.hidden && getSelection().isCollapsed) {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.ok && !answer.redirected) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          parts.forEach((old) => {
            const fresh = page.getElementById(old.id);
            if (fresh) swap(old, document.importNode(fresh, true));
          });
        }
      } catch { /* the gateway is restarting: try again next time */ }
    }
    renew();
  };
  renew();

  // --- the playground: what is shown follows what is written ---
  const play = byId("play");
  if (play) {
    let due = 0;
    let asked = 0;
    const show = async () => {
      const turn = ++asked;
      const fields = new FormData(play);
      ["delivery", "step", "by"].forEach((name) => fields.delete(name));
      try {
        const answer = await fetch("/playground", {
          method: "POST", headers: { accept: "text/html" }, body: new URLSearchParams(fields),
        });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("result");
        // A later one is on its way.
        if (fresh && turn === asked) swap(byId("result"), document.importNode(fresh, true));
      } catch { /* the gateway is restarting: the next change asks again */ }
    };
    const soon = () => { clearTimeout(due); due = setTimeout(show, 400); };
    play.addEventListener("input", soon);
    play.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); show(); }
    });
  }

  // --- the live stream ---
  const MOST_ROWS = 200;
  const rows = byId("rows");
  const stream = rows && rows.dataset.live;
  let held = false;
  let waiting = [];
  let missed = 0;
  let unsaid = 0;
  // Rows replace those with the same id; others are added only if they are ``new``.
  const place = (html, isNew) => {
    let added = 0;
    const fresh = Array.from(parsed(html).children);
    fresh.reverse().forEach((row) => {
      const old = byId(row.id);
      if (old) {
        const picked = old.querySelector("input:checked");
        if (old.contains(document.activeElement)) {
          const chips = old.querySelector(".chips");
          chips.replaceWith(row.querySelector(".chips"));
          return;
        }
        if (picked) row.querySelector("input").checked = true;
        if (old.classList.contains("here")) row.classList.add("here");
        old.replaceWith(row);
      } else if (isNew) {
        // Ids sort by time; the rows of refused requests have none.
        const next = Array.from(rows.children).find((each) => each.id && each.id < row.id);
        row.classList.add("fresh");
        rows.insertBefore(row, next || null);
        added += 1;
      }
    });
    while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
    return added;
  };
  const showMissed = () => {
    const note = byId("skipped");
    note.hidden = !missed;
    note.textContent = missed ? `… and ${missed.toLocaleString("en")} more` : "";
  };
  const arrived = (batch) => {
    byId("empty")?.remove();
    unsaid += place(batch.new, true);
    place(batch.changed, false);
    missed += batch.skipped;
    showMissed();
  };
  const pulse = (word, state) => {
    byId("pulse").className = `pulse ${state}`;
    byId("pulse-word").textContent = word;
  };
  const hold = () => {
    held = !held;
    const button = byId("pause");
    button.setAttribute("aria-pressed", String(held));
    button.textContent = held ? "Resume" : "Pause";
    pulse(held ? "paused" : "live", held ? "held" : "");
    if (!held) { waiting.forEach(arrived); waiting = []; }
  };
  if (stream) {
    const source = new EventSource(stream);
    source.addEventListener("rows", (event) => {
      const batch = JSON.parse(event.data);
      if (!held) { arrived(batch); return; }
      waiting.push(batch);
      if (waiting.length > 20) {
        const gone = waiting.shift();
        missed += gone.fresh + gone.skipped;
      }
      const count = waiting.reduce((sum, each) => sum + each.fresh + each.skipped, missed);
      pulse(count ? `paused, ${count.toLocaleString("en")} new` : "paused", "held");
    });
    source.addEventListener("refused", (event) => {
      if (held) return;
      byId("empty")?.remove();
      Array.from(parsed(JSON.parse(event.data).html).children).reverse().forEach((row) => {
        const time = (each) => each.querySelector("time").dateTime;
        const next = Array.from(rows.children).find((each) => time(each) <= time(row));
        row.classList.add("fresh");
        rows.insertBefore(row, next || null);
      });
    });
    source.addEventListener("numbers", (event) => {
      const fresh = parsed(JSON.parse(event.data).html);
      ["numbers", "cards"].forEach((id) => {
        const part = fresh.getElementById(id);
        if (part) swap(byId(id), part);
      });
    });
    source.onopen = () => pulse(held ? "paused" : "live", held ? "held" : "");
    source.onerror = () => pulse(source.readyState === EventSource.CLOSED ? "not live: reload the page" : "connecting", "off");
    byId("pause").addEventListener("click", hold);
    setInterval(() => {
      if (unsaid) say(`${unsaid} new event${unsaid === 1 ? "" : "s"}`);
      unsaid = 0;
    }, 5000);
  }

  // --- selection ---
  const ticked = byId("ticked");
  document.addEventListener("change", (event) => {
    if (event.target.name !== "ids" || !ticked) return;
    ticked.textContent = String(all("input[name=ids]:checked").length);
    byId("which-ids").checked = true;
  });

  // --- keys ---
  const help = byId("help");
  const showHelp = () => (help.open ? help.close() : help.showModal());
  byId("help-open")?.addEventListener("click", showHelp);
  let after = "";
  const lines = () => all("[data-row]");
  const here = () => document.querySelector("[data-row].here");
  const go = (step) => {
    const found = lines();
    if (!found.length) return;
    const at = found.indexOf(here());
    const next = found[Math.max(0, Math.min(found.length - 1, at < 0 ? 0 : at + step))];
    here()?.classList.remove("here");
    next.classList.add("here");
    (next.querySelector("a[href]") || next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const pick = () => here()?.querySelector("input[name=ids]")?.click();
  const replay = () => {
    const row = here();
    const box = row?.querySelector("input[name=ids]");
    const any = document.querySelector("input[name=ids]:checked");
    if (box && !any) { box.checked = true; box.dispatchEvent(new Event("change", { bubbles: true })); }
    const button = byId("replay-picked") || row?.querySelector("form[action='/replay'] button") || document.querySelector("form[action='/replay'] button");
    button?.click();
  };
  const places = {
    l: "/", d: "/destinations", x: "/dead", r: "/routes", f: "/refused", p: "/playground", a: "/activity",
  };
  const keys = {
    j: () => go(1), ArrowDown: () => go(1), k: () => go(-1), ArrowUp: () => go(-1),
    x: pick, r: replay, p: () => stream && hold(), "?": showHelp,
    "/": () => { const field = byId("q"); if (field) { field.focus(); field.select(); } else { location.assign("/#q"); } },
    g: () => { after = "g"; setTimeout(() => { after = ""; }, 1200); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && event.target.matches("input")) event.target.blur();
    if (event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea, dialog")) return;
    if (event.target.matches("input, pre") && event.key.startsWith("Arrow")) return;
    if (after === "g" && places[event.key]) { location.assign(places[event.key]); return; }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row || row.classList.contains("here")) return;
    here()?.classList.remove("here");
    row.classList.add("here");
  });
  if (location.hash === "#q") byId("q")?.focus();
})();
