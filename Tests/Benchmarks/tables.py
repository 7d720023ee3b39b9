"""tables.py here|node ROWS PAGE: writes rows of scripts/bench into their table of docs/performance.md, in place of those of the
same name; rows of groups that were not measured stay."""

import json
import re
import sys
import time
from pathlib import Path

from bench import cells

HEAD = "| figure | value | unit | rival | ratio | goal | met | beside | written |\n|---|---|---|---|---|---|---|---|---|\n"


def main():
    table, rows, page = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    text = page.read_text()
    found = re.search(rf"(<!-- {table} -->\n)(.*?)(<!-- end -->)", text, re.DOTALL)
    lines = dict(
        (line.split("|")[1].strip(), line) for line in found[2].splitlines() if line.startswith("| ") and "figure" not in line
    )
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    for row in rows:
        lines[row["name"]] = "| " + " | ".join([*cells(row), now]) + " |"
    if not rows:
        return
    place = f"Measured on {rows[0]['place']}.\n\n"
    written = place + HEAD + "".join(line + "\n" for line in lines.values())
    page.write_text(text[: found.start()] + found[1] + written + found[3] + text[found.end() :])


if __name__ == "__main__":
    main()
