/* Light and dark, and the part that is being read. */
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const say = () => button.setAttribute("aria-pressed", String(dark()));
  // Storage is closed to pages that are opened from a file in some browsers.
  try {
    const kept = localStorage.getItem("gemmap-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* the reader's system decides */ }
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("gemmap-theme", root.dataset.theme);
    } catch { /* it holds until the page is closed */ }
    say();
  });
  say();

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const [id, link] of links) link.classList.toggle("here", id === entry.target.id);
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main section").forEach((section) => seen.observe(section));

  // What is folded is printed open.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => {
    if (!d.open) { d.open = true; d.dataset.folded = ""; }
  }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-folded]").forEach((d) => {
    d.open = false; delete d.dataset.folded;
  }));
})();
