internal import CLinux
internal import Glibc
internal import Synchronization

/// The wall clock, which anybody may set, as far as it can be told from the clock that nobody can.
package enum WallClock {
    /// How far the wall clock is ahead of `CLOCK_BOOTTIME`. Only a step changes that: who slews the one, slews the other.
    package struct Lead: Hashable, Sendable {
        package let nanoseconds: Int64

        package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

        package static func - (left: Self, right: Self) -> Duration {
            .nanoseconds(left.nanoseconds - right.nanoseconds)
        }
    }

    /// As it is now.
    package static var lead: Lead { Lead(nanoseconds: clinux_clock_lead()) }

    /// Sets the clock ahead, or back, relative to what it is.
    ///
    /// The corresponding system call is `clock_adjtime(2)` with `ADJ_SETOFFSET`.
    package static func step(by offset: Duration) throws(SystemCallError) {
        let nanoseconds = offset.wholeNanoseconds
        try systemCall("clock_adjtime ADJ_SETOFFSET", on: "the clock") { clinux_step_clock(nanoseconds) }
    }

    private static let trusted = Mutex<(lead: Lead, end: BootInstant?)?>(nil)

    /// From here on this process goes by the wall clock as it would be with this lead, since it knows that it is wrong.
    ///
    /// - Parameter end: When it is to be right again; nil when nobody knows.
    package static func trust(_ lead: Lead, until end: BootInstant?) { trusted.withLock { $0 = (lead, end) } }

    /// From here on this process goes by the wall clock as it is.
    package static func trust() { trusted.withLock { $0 = nil } }

    /// How far the wall clock is from what this process goes by, and when it is to be right again, if that is known; nil
    /// where it goes by the clock.
    package static var knownError: (ahead: Duration, end: BootInstant?)? {
        trusted.withLock { $0 }.map { (lead - $0.lead, $0.end) }
    }

    /// Since 1970, by what this process goes by.
    static var now: (seconds: Int64, nanoseconds: Int64) {
        if let lead = trusted.withLock({ $0?.lead }) {
            let nanoseconds = BootInstant.now.nanoseconds + lead.nanoseconds
            return (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
        }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return (Int64(now.tv_sec), Int64(now.tv_nsec))
    }
}
