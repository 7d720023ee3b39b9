internal import CLinux

/// A timer that becomes readable at an instant of `CLOCK_BOOTTIME`.
///
/// The corresponding system calls are `timerfd_create(2)` and `timerfd_settime(2)`.
package struct BootTimer: ~Copyable, Sendable {
    package let descriptor: OwnedDescriptor

    package init() throws(SystemCallError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("timerfd_create", on: "CLOCK_BOOTTIME") { clinux_boot_timer() })
    }

    /// Arms the timer for an instant, or disarms it. An instant in the past fires at once.
    package func arm(for instant: BootInstant?) throws(SystemCallError) {
        let raw = descriptor.rawValue
        let nanoseconds = instant.map { max($0.nanoseconds, 1) } ?? 0
        try systemCall("timerfd_settime", on: "CLOCK_BOOTTIME") { clinux_boot_timer_arm(raw, nanoseconds) }
    }
}
