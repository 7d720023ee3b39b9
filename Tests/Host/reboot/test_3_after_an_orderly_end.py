"""The third boot: an agent that was told to stop has taken everything back before the host went down."""

from reboot_kit import *


def test_they_were_taken_back_before():
    # A service that ended first was gone by then, and none is started any more while the host goes down.
    verify({"drained", "target-gone", "recovered"})


def test_the_host_goes_down_by_a_fault():
    begin_some(tenant(), host_reboot="30s")
