// The tab that is shown, brought into sight where not all of them fit.
for (const tab of document.querySelectorAll(".tabs [aria-current], .top-nav [aria-current]")) {
  const row = tab.parentElement;
  row.scrollLeft += tab.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - tab.offsetWidth) / 2;
}
