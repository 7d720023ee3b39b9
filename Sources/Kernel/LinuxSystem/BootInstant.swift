internal import CLinux
import Glibc

/// An instant on `CLOCK_BOOTTIME`: it runs through suspend, and no change of the wall clock moves it.
/// Comparable only within one boot, so whatever is written down carries the boot's identifier too.
package struct BootInstant: Hashable, Comparable, Sendable {
    package let nanoseconds: Int64

    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// The corresponding system call is `clock_gettime(2)`.
    package static var now: BootInstant { BootInstant(nanoseconds: clinux_boot_time()) }

    package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    package static func + (left: Self, right: Duration) -> Self {
        Self(nanoseconds: left.nanoseconds + right.wholeNanoseconds)
    }

    package static func - (left: Self, right: Self) -> Duration {
        .nanoseconds(left.nanoseconds - right.nanoseconds)
    }
}

extension Duration {
    package var wholeNanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}

/// Seconds since 1970 by the wall clock, which anybody may set: only for people and for tokens. While this process knows that it
/// is wrong, by what it would be.
package func wallSeconds() -> Int64 { WallClock.now.seconds }

/// Milliseconds since 1970, by the same clock.
///
/// The corresponding system call is `clock_gettime(2)`.
package func wallMilliseconds() -> Int64 {
    let now = WallClock.now
    return now.seconds * 1000 + now.nanoseconds / 1_000_000
}

/// The running boot's identifier, `/proc/sys/kernel/random/boot_id`.
package func bootIdentifier() throws(SystemCallError) -> String {
    let text = try TextFile.read("/proc/sys/kernel/random/boot_id")
    return String(text.prefix { $0 != "\n" })
}

/// An instant of the wall clock in UTC, as RFC 3339 has it: `2026-11-23T01:05:00.250Z`.
///
/// - Parameters:
///   - milliseconds: Since 1970; now, unless told.
///   - hasFraction: Whether it has the milliseconds.
package func wallTimestamp(_ milliseconds: Int64 = wallMilliseconds(), hasFraction: Bool = true) -> String {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    var text = [CChar](repeating: 0, count: 32)
    let length = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S", &parts)
    let fraction = hasFraction ? ".\(String(1000 + milliseconds % 1000).dropFirst())" : ""
    return String(decoding: text[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self) + "\(fraction)Z"
}
