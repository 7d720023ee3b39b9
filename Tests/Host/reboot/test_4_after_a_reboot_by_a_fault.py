"""The fourth boot: a fault has rebooted the host, and the agent took the other sessions back before."""

from reboot_kit import *


def test_it_is_told_and_the_others_were_taken_back_before():
    verify({"drained", "target-gone", "recovered"}, host_reboot={"completed"})


def test_the_host_is_cut_off_before_it_was_to_go_down():
    begin_some(tenant(), host_reboot="10m")
