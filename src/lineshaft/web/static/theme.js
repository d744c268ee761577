// Before anything is drawn: the scheme that was chosen here, if one was. A plain script, since a module comes too late.
try {
  const theme = localStorage.getItem("lineshaft-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage that is switched off remembers nothing: the system's scheme it is.
}
