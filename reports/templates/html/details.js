"use strict";
// A cell opens its runs. They stand in the page as JSON and are parsed and drawn only now, as text throughout.
(() => {
  const dialog = document.getElementById("runs");
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  let shared = null;

  const make = (tag, content, className) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    const parts = Array.isArray(content) ? content : [content];
    made.append(...parts.filter((part) => part !== undefined && part !== null));
    return made;
  };

  const shown = (value) => {
    if (value === null || value === undefined) return "none";
    if (typeof value === "number") {
      return Number.isInteger(value) ? value.toLocaleString("en-GB") : String(Number(value.toPrecision(6)));
    }
    if (Array.isArray(value)) return value.map(shown).join(", ");
    if (typeof value === "object") return JSON.stringify(value);
    return String(value);
  };

  const digits = (value) => (Number.isFinite(value) ? value.toFixed(3) : "--");

  const pairs = (entries) => {
    const list = make("dl", []);
    for (const [name, value] of entries) list.append(make("dt", name), make("dd", shown(value)));
    return list;
  };

  const section = (title, content, open) => {
    const made = make("details", [make("summary", title), ...content]);
    made.open = Boolean(open);
    return made;
  };

  const seconds = (value) => {
    if (!Number.isFinite(value)) return "--";
    if (value < 90) return `${value.toFixed(0)} s`;
    return value < 5400 ? `${(value / 60).toFixed(0)} min` : `${(value / 3600).toFixed(1)} h`;
  };

  const table = (header, rows, numeric) => {
    const heads = header.map((name, at) => {
      const cell = make("th", name, numeric.has(at) ? "num" : "");
      cell.scope = "col";
      return cell;
    });
    const body = rows.map((row) => make("tr", row.map((value, at) => make("td", value, numeric.has(at) ? "num" : ""))));
    const made = make("table", [make("thead", make("tr", heads)), make("tbody", body)], "plain");
    const box = make("div", made, "scroll");
    box.tabIndex = 0;
    return box;
  };

  // What is not on a disk beside the page is named only.
  const linked = (address, name) => {
    if (!address) return name;
    const link = make("a", name);
    link.href = address;
    return link;
  };

  const outside = (address, name) => {
    const link = linked(address, name);
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  };

  const results = (runs) => {
    const header = ["Seed", "State", "AUROC", "95 % interval", "AUPR", "FPR at 95 % TPR", "Normal + anomalous", "Fit", "Scoring", "Files"];
    const tracked = runs.some((run) => run.mlflow);
    if (tracked) header.push("MLflow");
    const rows = runs.map((run) => {
      const m = run.metrics;
      if (!m) return [shown(run.seed), run.reason === run.state ? run.state : `${run.state}: ${run.reason}`, "--", "", "", "", "", "", "", "", ...(tracked ? [""] : [])];
      const state = run.state === "done" ? "done" : `${run.state}: ${run.reason}`;
      return [
        shown(run.seed), state, digits(m.auroc), `${digits(m.auroc_low)} to ${digits(m.auroc_high)}`, digits(m.aupr),
        digits(m.fpr95), `${shown(run.counts.normal)} + ${shown(run.counts.anomalous)}`,
        seconds(run.cost.fit_seconds), seconds(run.cost.score_seconds),
        linked(run.folder, run.train_key.slice(0, 12)), ...(tracked ? [run.mlflow ? outside(run.mlflow, "run") : ""] : []),
      ];
    });
    return table(header, rows, new Set([0, 2, 3, 4, 5, 6, 7, 8]));
  };

  const rocs = (runs) => {
    const given = runs.filter((run) => run.roc).map((run) => ({
      x: run.roc[0].map((count) => count / run.roc[0].at(-1)),
      y: run.roc[1].map((count) => count / run.roc[1].at(-1)),
      style: run.style,
    }));
    const limits = { x: [0, 1], y: [0, 1], chance: true };
    return given.length ? [charts.lines("ROC", "false positive rate", "true positive rate", given, limits)] : [];
  };

  const training = (runs) => {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.curve.values)))];
    const made = names.map((name) => {
      const given = runs.filter((run) => run.curve.values[name]).map((run) => ({
        x: run.curve.step, y: run.curve.values[name].map((v) => (v === null ? NaN : v)), style: run.style,
      }));
      return charts.lines(name, "step", "", given);
    });
    const chosen = runs.filter((run) => run.candidates.length > 1).map((run) => ({
      x: run.candidates.map(([epoch]) => epoch), y: run.candidates.map(([, auroc]) => auroc), style: run.style,
    }));
    if (chosen.length) made.push(charts.lines("AUROC on the split that chose the checkpoint", "share of the training", "", chosen));
    return made.filter(Boolean);
  };

  const worst = (run) => {
    const source = run.images && shared.images[run.images];
    const items = run.worst.map(([id, label, score, wrong]) => {
      const kind = label ? "anomalous" : "normal";
      const item = make("li", []);
      const picture = source && source.pictures[id];
      if (picture) {
        const image = make("img", []);
        image.src = picture;
        image.alt = `${id}, ${kind}`;
        item.append(image);
      }
      item.append(make("b", id), make("br", []), kind, make("br", []), `score ${shown(score)}`, make("br", []), `${Math.round(100 * wrong)} % wrong`);
      return item;
    });
    return [make("p", `Seed ${run.seed}`), make("ul", items, "images")];
  };

  const credits = (runs) => [...new Set(runs.map((run) => run.images).filter((name) => shared.images[name]))].map((name) => {
    const source = shared.images[name];
    const terms = source.free ? "" : " Not for redistribution: this licence does not let everybody pass its images on.";
    return make("p", `Images: ${source.source}; ${source.licence}; ${source.citation}.${terms}`, "note");
  });

  // What several runs share is told once, with their seeds when others differ.
  const told = (runs, field, title) => {
    const groups = new Map();
    for (const run of runs.filter((one) => one[field] !== undefined)) {
      groups.set(run[field], [...(groups.get(run[field]) || []), run.seed]);
    }
    return [...groups].map(([place, seeds]) => {
      const of = groups.size > 1 ? ` (seed ${seeds.join(", ")})` : "";
      return section(`${title}${of}`, [pairs(Object.entries(shared[field][place]))]);
    });
  };

  const origin = (run) => {
    const entries = [["training key", run.train_key], ["evaluation key", run.eval_key]];
    if (run.metrics) {
      entries.push(["finished", run.finished], ["checkpoint", run.epoch === null ? run.selection : `${run.selection}, after ${Math.round(100 * run.epoch)} % of the training`]);
      for (const [name, value] of Object.entries(run.metrics)) entries.push([name, value]);
      for (const [name, value] of Object.entries(run.cost)) entries.push([name, value]);
      for (const [name, value] of Object.entries(run.artefacts)) entries.push([`artefact ${name}`, value]);
      for (const note of run.notes) entries.push(["note", note]);
    }
    return section(`Seed ${run.seed}: keys, cost and notes`, [pairs(entries)]);
  };

  const fill = (button, keys) => {
    shared = shared || read("shared");
    const runs = keys.map((key, style) => ({ ...read(`run-${key}`), style }));
    const done = runs.filter((run) => run.metrics);
    const heading = make("h2", button.dataset.place || button.closest("section").querySelector("h2").textContent);
    heading.id = "runs-title";
    const values = [...button.children].map((part) => part.textContent).join("   ");
    const close = make("button", "Close", "close");
    close.type = "button";
    close.addEventListener("click", () => dialog.close());
    const first = runs[0];
    const where = `${first.method} on ${first.dataset}, ${button.closest("section").querySelector("h2").textContent}`;
    const body = make("div", [results(runs)], "body");
    if (done.length) {
      const seeds = () => (done.length > 1 ? [charts.legend(runs.map((run) => `seed ${run.seed}`))] : []);
      const bins = done.filter((run) => run.histogram).map((run) => charts.histogram(`Scores, seed ${run.seed}`, run.histogram));
      if (bins.length) {
        body.append(make("h3", "Scores on the test images"), ...seeds(), charts.legend(["normal", "anomalous"]), make("div", [...rocs(done), ...bins], "charts"));
      }
      const curves = training(done);
      if (curves.length) body.append(make("h3", "Training"), ...seeds(), make("div", curves, "charts"));
      const listed = done.filter((run) => run.worst);
      if (listed.length) {
        const meaning = "In per cent: how many images of the other class the score puts on its wrong side.";
        body.append(make("h3", "Worst-scored test images"), make("p", meaning, "note"), ...listed.flatMap(worst), ...credits(listed));
      }
    }
    body.append(make("h3", "Where it comes from"), ...told(runs, "settings", "Settings"), ...told(done, "data", "Data"), ...told(done, "environment", "Environment"), ...runs.map(origin));
    dialog.replaceChildren(make("div", [make("div", [heading, make("p", values), make("p", where)]), close], "bar"), body);
  };

  for (const button of document.querySelectorAll("button.cell")) {
    button.addEventListener("click", () => {
      fill(button, button.dataset.runs.split(" "));
      dialog.showModal();
      dialog.scrollTop = 0;
    });
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
})();
