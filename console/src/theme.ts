// Light, dark, or as the system has it: the choice is kept in this browser.

const THEMES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

function stored(): Theme {
  try {
    const theme = localStorage.getItem('theme') as Theme;
    return THEMES.includes(theme) ? theme : 'auto';
  } catch {
    return 'auto';
  }
}

let theme = stored();

function apply() {
  document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event('theme'));
}

export function themeName(): string {
  return { auto: 'Auto', light: 'Light', dark: 'Dark' }[theme];
}

/** Goes on to the next theme; its name. */
export function nextTheme(): string {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  try {
    localStorage.setItem('theme', theme);
  } catch {
    // Then it lasts as long as the page.
  }
  apply();
  return themeName();
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('theme')));
apply();
