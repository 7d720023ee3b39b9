"""The sixth boot: a fault has switched the host off, and somebody has switched it on again."""

from reboot_kit import *


def test_it_is_told_and_the_others_were_taken_back_before():
    verify({"drained", "target-gone", "recovered"}, host_power_off={"completed"})
    # What was told once is told again by whoever comes after.
    kill_agent()
    verify({"drained", "target-gone", "recovered"}, host_power_off={"completed"})
