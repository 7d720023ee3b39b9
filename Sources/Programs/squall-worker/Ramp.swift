internal import LinuxSystem

/// A number that is reached evenly, from the moment on when this is made.
struct Ramp {
    /// How often whoever follows it goes on.
    static let step = Duration.milliseconds(20)

    private let goal: Int64
    private let length: Duration
    private let began = BootInstant.now

    init(to goal: Int64, within length: Duration) {
        self.goal = goal
        self.length = length
    }

    /// What is to be reached by now.
    var due: Int64 {
        let elapsed = BootInstant.now - began
        return elapsed >= length ? goal : Int64(Double(goal) * (elapsed / length))
    }
}
