"""summarize.py RESULT.xml...: what was skipped and why, then `N passed, N failed, N skipped` over all JUnit files.

Fails when a test failed, or when a file holds no test at all.
"""

import collections
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

passed = failed = 0
skipped = collections.Counter()
empty = []
for path in sys.argv[1:]:
    cases = list(xml.parse(path).iter("testcase"))
    if not cases:
        empty.append(path)
    for case in cases:
        skip = case.find("skipped")
        if skip is not None:
            reason = skip.get("message") or (skip.text or "").strip() or "no reason given"
            skipped[f"{Path(path).stem}: {reason}"] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            print(f"FAILED {Path(path).stem}: {case.get('classname')} {case.get('name')}")
        else:
            passed += 1
for reason, count in sorted(skipped.items()):
    print(f"skipped {count} of {reason}")
for path in empty:
    print(f"{path} holds no test")
print(f"{passed} passed, {failed} failed, {sum(skipped.values())} skipped")
sys.exit(1 if failed or empty else 0)
