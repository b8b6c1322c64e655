// Search among the samples, and addresses of their own: #sample-ID opens one, opening one sets it.
(() => {
  const cards = [...document.querySelectorAll("details[id^=sample-]")];
  const search = document.getElementById("search");

  function filter() {
    const text = search.value.trim().toLowerCase();
    let count = 0;
    for (const card of cards) {
      card.hidden = text !== "" && !card.textContent.toLowerCase().includes(text);
      if (!card.hidden) count += 1;
    }
    document.getElementById("matches").textContent = text ? `${count} of ${cards.length}` : "";
  }

  function openAddressed() {
    const card = cards.find(({ id }) => `#${id}` === decodeURIComponent(location.hash));
    if (!card) return;
    card.open = true;
    card.scrollIntoView();
  }

  for (const card of cards) {
    card.addEventListener("toggle", () => {
      if (card.open) history.replaceState(null, "", `#${encodeURIComponent(card.id)}`);
    });
  }
  search.addEventListener("input", filter);
  addEventListener("hashchange", openAddressed);
  openAddressed();
})();
