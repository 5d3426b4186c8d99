// Light or dark theme: the system's, until the user chooses.

const KEY = "nearfield-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export const theme = () => document.documentElement.dataset.theme;

/** Sets the theme now and whenever it changes; then calls `changed`. */
export function followTheme(changed) {
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    changed(name);
  };
  const natural = () => (system.matches ? "dark" : "light");
  set(localStorage.getItem(KEY) ?? natural());
  system.addEventListener("change", () => localStorage.getItem(KEY) || set(natural()));
  return () => {
    const name = theme() === "dark" ? "light" : "dark";
    if (name === natural()) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, name);
    set(name);
  };
}
