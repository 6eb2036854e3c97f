// Keys for those who like them; every page works without.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("table[data-rows] tbody tr")];
  let chosen = -1;
  let going = false;
  const choose = (step) => {
    const all = rows();
    if (all.length === 0) return;
    all[chosen]?.classList.remove("chosen");
    chosen = Math.min(Math.max(chosen + step, 0), all.length - 1);
    all[chosen].classList.add("chosen");
    all[chosen].querySelector("a")?.focus();
    all[chosen].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (going) {
      going = false;
      const place = document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`);
      if (place) { event.preventDefault(); place.click(); }
      return;
    }
    switch (event.key) {
      case "g": going = true; break;
      case "j": choose(1); break;
      case "k": choose(-1); break;
      case "/": {
        const box = document.querySelector("input[type=search], .filter input, .filter select");
        if (box) { event.preventDefault(); box.focus(); }
        break;
      }
      default: return;
    }
  });
  const all = document.querySelector("input[data-all]");
  all?.addEventListener("change", () => {
    for (const box of document.querySelectorAll("input[name=id]")) box.checked = all.checked;
  });
})();
