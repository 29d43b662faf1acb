// The list of evaluations: filters at once, live rows, and choosing what is compared.
import { byId } from "./dom.js";
import { keepRows } from "./rows.js";

const filters = byId("filters");
byId("apply").hidden = true;
filters.addEventListener("change", () => filters.requestSubmit());

let added = 0;
keepRows({
  onNew(data) {
    const asked = Object.fromEntries(new FormData(filters));
    const matches =
      ["", "active", "queued"].includes(asked.status) &&
      (!asked.environment || asked.environment.split("@")[0] === data.environment) &&
      (!asked.model || asked.model === data.model) &&
      (!asked.group || asked.group === data.group);
    if (!matches) return;
    added += 1;
    const link = byId("new-link");
    link.hidden = false;
    link.href = location.href.replace(/([?&])cursor=[^&]*&?/, "$1");
    link.textContent = added === 1 ? "1 new evaluation \u2014 show" : `${added} new evaluations \u2014 show`;
  },
});

const form = document.getElementById("compare");
if (form) {
  const boxes = [...form.querySelectorAll('input[name="evaluations"]')];
  const ready = (box) => "scored" in box.closest("tr").dataset;
  const show = () => {
    const chosen = boxes.filter((box) => box.checked);
    const wanted = chosen[0]?.dataset.comparable;
    for (const box of boxes) box.disabled = !ready(box) || (wanted !== undefined && box.dataset.comparable !== wanted);
    byId("compare-button").disabled = chosen.length < 2;
    byId("compare-bar").classList.toggle("chosen", chosen.length > 0);
    byId("compare-hint").textContent = chosen.length
      ? `${chosen.length} chosen${chosen.length === 1 ? "; choose another one of the same environment and phase" : ""}`
      : "Choose two or more of one environment and phase to compare them.";
  };
  form.addEventListener("change", show);
  form.addEventListener("scored", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const numbers = boxes.filter((box) => box.checked).map((box) => box.value);
    location.assign(`/compare?evaluations=${numbers.join(",")}`);
  });
  show();
}
