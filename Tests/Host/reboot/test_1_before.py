"""The first boot: what is in effect when the host is cut off, as when its power fails."""

from reboot_kit import *


def test_sessions_are_in_effect():
    sh("apt-get", "install", "-y", "-qq", package())
    whose = tenant()
    whose.onboard()
    # What the administrator has done is on the disk. What the agent does now has to get there by itself.
    sh("sync")
    begin_some(whose)
