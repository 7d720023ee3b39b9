"""The fifth boot: the host went down before systemd was told."""

from reboot_kit import *


def test_it_is_told_that_it_went_down():
    verify({"recovered"}, host_reboot={"recovered"})


def test_the_host_is_switched_off_by_a_fault():
    begin_some(tenant(), host_power_off="30s")
