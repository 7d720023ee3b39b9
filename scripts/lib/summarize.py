"""summarize.py RESULT...: of every RESULT.xml that there should be, what was skipped and why, then `N passed, N failed, N skipped` over all JUnit files.

Fails when a test failed, when a file holds no test at all, or when a run ended before it could write its file. What
such a run was at is in the log beside it: RESULT.log. A test that failed, and passed when it was tried once more, is told
as unsteady, and counts as passed: RESULT-again.xml has the second attempt of Swift tests, the log that of pytest's.

summarize.py --failed RESULT.xml: a filter for the Swift tests that failed, for a second attempt.
"""

import collections
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

# With more than this something is broken, and not unsteady.
MOST_TRIED_AGAIN = 5
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


def has_failed(case):
    return case.find("failure") is not None or case.find("error") is not None


def name(case):
    return f"{case.get('classname')} {case.get('name')}"


def tell_filter(path):
    """Swift tests are called MODULE.SUITE/FUNCTION."""
    cases = [case for case in xml.parse(path).iter("testcase") if has_failed(case)]
    if 0 < len(cases) <= MOST_TRIED_AGAIN:
        names = [f"{case.get('classname')}/{case.get('name')}" for case in cases]
        print(f"^({'|'.join(map(re.escape, names))})")


def steady_at_last(path):
    again = path.with_name(f"{path.stem}-again.xml")
    if not again.exists():
        return set()
    return {name(case) for case in xml.parse(again).iter("testcase") if not has_failed(case) and case.find("skipped") is None}


def reruns(path):
    log = path.with_suffix(".log")
    return re.findall(r"^RERUN (.*)$", log.read_text(errors="replace"), re.MULTILINE) if log.exists() else []


if sys.argv[1] == "--failed":
    tell_filter(Path(sys.argv[2]))
    sys.exit()

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
    second = steady_at_last(path)
    broken = [case for case in cases if has_failed(case)]
    steadied = sorted(second.intersection(map(name, broken)))
    steadied += [test for test in reruns(path) if not any(test.endswith(f"::{case.get('name')}") for case in broken)]
    for test in steadied:
        print(f"unsteady {path.stem}: {test}")
    for case in cases:
        skip = case.find("skipped")
        if skip is not None:
            reason = skip.get("message") or (skip.text or "").strip() or "no reason given"
            skipped[f"{path.stem}: {reason}"] += 1
        elif has_failed(case) and name(case) not in second:
            failed += 1
            print(f"FAILED {path.stem}: {name(case)}")
        else:
            passed += 1
for reason, count in sorted(skipped.items()):
    print(f"skipped {count} of {reason}")
for path in empty:
    print(f"{path} holds no test")
print(f"{passed} passed, {failed} failed, {sum(skipped.values())} skipped")
sys.exit(1 if failed or empty else 0)
