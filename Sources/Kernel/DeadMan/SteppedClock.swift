internal import CLinux
package import LinuxSystem

/// A wall clock that is stepped for a while, and how far ahead of the clock that nobody sets it was before: all that stepping it
/// back needs, whoever does it.
package struct SteppedClock: Hashable, Sendable {
    package let offset: Duration
    package let before: WallClock.Lead

    package init(offset: Duration, before: WallClock.Lead) {
        self.offset = offset
        self.before = before
    }

    package enum State: Hashable, Sendable {
        /// As far ahead as before.
        case isBack
        /// As the step has left it.
        case isStepped
        /// Neither: somebody else has set it.
        case isSet
    }

    /// What has become of it, now that it is so far ahead.
    package func state(at lead: WallClock.Lead) -> State {
        var clock = asShared
        switch Int(deadman_clock_state(&clock, lead.nanoseconds)) {
        case Int(DEADMAN_CLOCK_IS_BACK): return .isBack
        case Int(DEADMAN_CLOCK_IS_STEPPED): return .isStepped
        default: return .isSet
        }
    }

    /// Whether it is as after a second step back, by somebody who was held up between a look at it and the step.
    package func isBackTwice(at lead: WallClock.Lead) -> Bool {
        SteppedClock(offset: .zero - offset, before: before).state(at: lead) == .isStepped
    }

    /// As the dead-man's process has it.
    var asShared: deadman_clock { deadman_clock(offset: offset.wholeNanoseconds, lead: before.nanoseconds) }
}
