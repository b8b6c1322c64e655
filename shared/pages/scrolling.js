// Tables and charts that are wider than a narrow screen scroll in a place of their own: the keyboard
// must reach it.
(() => {
  function markScrollable() {
    for (const place of document.querySelectorAll(".wide, .plot")) {
      if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
      else place.removeAttribute("tabindex");
    }
  }

  addEventListener("resize", markScrollable);
  addEventListener("load", markScrollable);
  markScrollable();
})();
