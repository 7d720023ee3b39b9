"""The second boot: what is told of the first one's sessions, and others for an orderly end."""

from reboot_kit import *


def test_their_ends_are_told_right_after_the_boot():
    verify({"recovered"})
    ends = [json.loads(line) for line in sh("squall", "journal", "show", "--output", "json").stdout.splitlines()]
    assert sum("live" in line and line["live"] == [] for line in ends) == 1
    begin_some(tenant())
