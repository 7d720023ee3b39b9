/// So many at once, and so many more each second.
package struct TokenBucket: Sendable {
    private var level: Double
    private var filled: BootInstant

    /// A full one.
    package init(depth: Double, at now: BootInstant) {
        level = depth
        filled = now
    }

    /// Takes one; false when none is left.
    package mutating func take(depth: Double, perSecond rate: Double, at now: BootInstant) -> Bool {
        level = min(depth, level + (now - filled) / .seconds(1) * rate)
        filled = now
        guard level >= 1 else { return false }
        level -= 1
        return true
    }
}
