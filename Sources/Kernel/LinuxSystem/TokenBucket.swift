/// How much of something may be done.
package struct Rate: Hashable, Sendable {
    package let atOnce: Double
    package let perSecond: Double

    package init(atOnce: Double, perSecond: Double) {
        self.atOnce = atOnce
        self.perSecond = perSecond
    }
}

/// So many at once, and so many more each second.
package struct TokenBucket: Sendable {
    private var level: Double
    private var filled: BootInstant

    /// A full one.
    package init(_ rate: Rate, at now: BootInstant) {
        level = rate.atOnce
        filled = now
    }

    /// Takes one; false when none is left. The rate may be another one each time.
    package mutating func take(_ rate: Rate, at now: BootInstant) -> Bool {
        level = min(rate.atOnce, level + (now - filled) / .seconds(1) * rate.perSecond)
        filled = now
        guard level >= 1 else { return false }
        level -= 1
        return true
    }
}
