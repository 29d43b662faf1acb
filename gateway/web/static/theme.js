// Before anything is drawn, so that no page flashes in the other theme: not a module, which would come later.
(() => {
  const root = document.documentElement;
  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off: the theme of the system stays
    }
  };
  const apply = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(kept());

  const NEXT = { "": "light", light: "dark", dark: "" };
  const SAID = { "": "as the system", light: "light", dark: "dark" };
  const SIGN = { "": "\u25d0", light: "\u2600\ufe0e", dark: "\u263e\ufe0e" };
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      const theme = root.dataset.theme ?? "";
      button.textContent = SIGN[theme];
      button.setAttribute("aria-label", `Theme: ${SAID[theme]}`);
      button.title = `Theme: ${SAID[theme]}`;
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = NEXT[root.dataset.theme ?? ""];
      apply(theme);
      try {
        if (theme) localStorage.setItem("theme", theme);
        else localStorage.removeItem("theme");
      } catch {
        // As above: it lasts as long as the page.
      }
      show();
    });
    show();
  });
})();
