"""summarize.py RESULT...: of every RESULT.xml that there should be, what was skipped and why, then `N passed, N failed, N skipped` over all JUnit files.

Fails when a test failed, when a file holds no test at all, or when a run ended before it could write its file. What
such a run was at is in the log beside it: RESULT.log.
"""

import collections
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

LAST_LINES = 10
MOST_NAMES = 20


def at_work(log):
    """The names of the Swift tests that a log has the beginning of and not the end."""
    begun = dict.fromkeys(re.findall(r'^◇ Test (".*"|\S+\(.*\)) started\.$', log, re.MULTILINE))
    for name in re.findall(r'^[✔✘➜] Test (".*"|\S+\(.*\)) (?:with \d+ test cases? )?(?:passed|failed|skipped)',
                           log, re.MULTILINE):
        begun.pop(name, None)
    return list(begun)


def tell_of_broken(path, error):
    print(f"FAILED {path.stem}: the run ended before its tests did ({error})")
    log = path.with_suffix(".log")
    if not log.exists():
        return
    text = log.read_text(errors="replace")
    for name in at_work(text)[:MOST_NAMES]:
        print(f"    it was at {name}")
    for line in text.splitlines()[-LAST_LINES:]:
        print(f"    {line}")


passed = failed = 0
skipped = collections.Counter()
empty = []
for path in (Path(f"{name}.xml") for name in sys.argv[1:]):
    try:
        cases = list(xml.parse(path).iter("testcase"))
    except (OSError, xml.ParseError) as error:
        failed += 1
        tell_of_broken(path, error)
        continue
    if not cases:
        empty.append(path)
    for case in cases:
        skip = case.find("skipped")
        if skip is not None:
            reason = skip.get("message") or (skip.text or "").strip() or "no reason given"
            skipped[f"{path.stem}: {reason}"] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            print(f"FAILED {path.stem}: {case.get('classname')} {case.get('name')}")
        else:
            passed += 1
for reason, count in sorted(skipped.items()):
    print(f"skipped {count} of {reason}")
for path in empty:
    print(f"{path} holds no test")
print(f"{passed} passed, {failed} failed, {sum(skipped.values())} skipped")
sys.exit(1 if failed or empty else 0)
