"""Draws a screen of a terminal, as `tmux capture-pane -e` prints it, as an SVG picture on standard output."""

import html
import re
import sys
import unicodedata

WIDTH, HEIGHT = 8.4, 18
COLOURS = ["#1e2127", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"]
BRIGHT = ["#5c6370", "#ff7b85", "#b5e890", "#ffd58a", "#7cc0ff", "#d999ee", "#6fd3e0", "#ffffff"]
GROUND, TEXT = "#16181d", "#d7dae0"


class Pen:
    """The style of what follows."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.colour, self.bold, self.reverse = TEXT, False, False

    def obey(self, codes: list[int]) -> None:
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code == 1:
                self.bold = True
            elif code == 7:
                self.reverse = True
            elif code == 27:
                self.reverse = False
            elif code == 38 and codes[:1] == [5]:
                number = codes[1]
                codes[:2] = []
                self.colour = (COLOURS + BRIGHT)[number] if number < 16 else TEXT
            elif code == 39:
                self.colour = TEXT
            elif 30 <= code <= 37:
                self.colour = COLOURS[code - 30]
            elif 90 <= code <= 97:
                self.colour = BRIGHT[code - 90]


def runs(line: str, pen: Pen) -> list[tuple[int, str, str, bool, bool]]:
    """The pieces of a line that have one style: column, text, colour, bold, reverse."""
    pieces, column = [], 0
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            pen.obey([int(code or 0) for code in part[2:-1].split(";")])
        elif part:
            pieces.append((column, part, pen.colour, pen.bold, pen.reverse))
            column += sum(2 if unicodedata.east_asian_width(c) == "W" else 1 for c in part)
    return pieces


def main(screen: str) -> None:
    lines = re.sub(r"\x1b\[[^m0-9;]|\x0e|\x0f", "", screen).rstrip("\n").split("\n")
    columns = max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines)
    width, height = columns * WIDTH + 16, len(lines) * HEIGHT + 16
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="monospace" font-size="14">')
    print(f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>')
    pen = Pen()
    for number, line in enumerate(lines):
        top = 8 + number * HEIGHT
        for column, text, colour, bold, reverse in runs(line, pen):
            left, length = 8 + column * WIDTH, len(text) * WIDTH
            if reverse:
                print(f'<rect x="{left:.1f}" y="{top}" width="{length:.1f}" height="{HEIGHT}" fill="{colour}"/>')
                colour = GROUND
            if text.strip():
                weight = ' font-weight="bold"' if bold else ""
                print(
                    f'<text x="{left:.1f}" y="{top + 14}" fill="{colour}"{weight} textLength="{length:.1f}" '
                    f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{html.escape(text)}</text>'
                )
    print("</svg>")


main(sys.argv[1])
