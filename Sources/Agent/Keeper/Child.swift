import LinuxSystem

/// One of the agent's programs that the keeper keeps running.
struct Child {
    enum Role: String, CaseIterable {
        case engine
        case gateway
        case runtimes
    }

    let role: Role
    private(set) var process: Int32?
    private(set) var startAt: BootInstant
    private var startedAt = BootInstant.now
    private var quickDeaths = 0

    init(_ role: Role) {
        self.role = role
        startAt = .now
    }

    mutating func started(as process: Int32) {
        self.process = process
        startedAt = .now
    }

    /// Says when to start it again: at once, unless it keeps dying before it can have done anything. Never later than half
    /// a second, because recovery waits for it.
    mutating func ended() {
        process = nil
        quickDeaths = BootInstant.now - startedAt < .seconds(1) ? quickDeaths + 1 : 0
        let pause = Duration.milliseconds(25) * (1 << min(quickDeaths, 5))
        startAt = .now + (quickDeaths < 2 ? .zero : min(pause, .milliseconds(500)))
    }

    /// It could not even be started.
    mutating func failedToStart() {
        startedAt = .now
        ended()
    }
}
