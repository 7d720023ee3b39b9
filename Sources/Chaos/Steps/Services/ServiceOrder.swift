import DeadMan
import LinuxSystem

/// What systemd is told to do to a service for a session.
final class ServiceOrder: Entrusted {
    let service: FoundService
    /// Of an engine before this one: nobody knows how far it came.
    let isLeft: Bool
    /// systemd may have been told.
    var isGiven = false
    var slot: DeadMansProcess.Slot?

    /// When it was seen to have stopped, in microseconds of the monotonic clock.
    var stoppedAt: Int64?
    /// Since when systemd has been asked in vain.
    var askedSince: BootInstant?
    /// Since when what was stopped is being started again.
    var startingSince: BootInstant?
    /// What this engine has had started.
    var started: Set<String> = []
    /// What is left as somebody else has made it, and how that is.
    var leftAlone: [String: String] = [:]

    /// Waits for the end of a restart.
    var restart: Task<Void, Never>?

    init(_ service: FoundService, isLeft: Bool = false) {
        self.service = service
        self.isLeft = isLeft
    }

    func wasTakenBack() { startingSince = .now }
}

/// How a unit stands, as systemd says.
struct UnitStanding {
    let state: String
    /// When it was last inactive: each run of it has its own.
    let run: String
    /// systemd is about to change its state.
    let hasJob: Bool

    var isActive: Bool { ["active", "reloading", "refreshing"].contains(state) }
    var isInactive: Bool { ["inactive", "failed"].contains(state) }
    /// It is on its way to nowhere.
    var isSettled: Bool { !hasJob && (isActive || isInactive) }
}
