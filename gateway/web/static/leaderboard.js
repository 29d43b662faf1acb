// The leaderboard: which rows are chosen for a comparison.
import { byId } from "./dom.js";

const form = byId("chosen");
const button = document.getElementById("compare");

function count() {
  const chosen = form.querySelectorAll("[name=evaluations]:checked").length;
  button.disabled = chosen < 2;
  byId("chosen-said").textContent =
    chosen === 0 ? "Select two or more to compare" : chosen === 1 ? "1 selected, select one more" : `${chosen} selected`;
}

if (button) {
  form.addEventListener("change", count);
  window.addEventListener("pageshow", count); // what was checked is checked again when one comes back
  count();
}
