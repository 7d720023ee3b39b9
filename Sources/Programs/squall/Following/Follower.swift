import ChaosModel
import LinuxSystem

/// Stays with a session until it is over, and tells what happens to it.
///
/// An agent that restarts breaks the stream of events: the follower asks anew until the session would have ended
/// by itself, and some time more.
struct Follower {
    /// What SIGINT and SIGTERM mean for the session.
    enum OnInterruption {
        case revert, leave
    }

    /// How the following went.
    enum Result {
        case over(JSON)
        /// The report after the session was reverted; nil when it was left alone.
        case interrupted(JSON?)
    }

    /// Keeping a session alive, as only its tenant can.
    struct Renewal {
        let tenancy: Tenancy
        let lease: Duration
    }

    /// How long after its deadline a session may take to be undone, or the agent to be back.
    private static let patience = Duration.seconds(30)

    let agent: Agent
    let id: SessionID
    let output: Output
    let onInterruption: OnInterruption

    private let inbox: Inbox
    private let renewal: Renewal?
    private var screen: Screen
    private var lastSequence: Int64 = -1
    /// Something happened since the report was read.
    private var isStale = false
    private var givesUpAt: BootInstant

    /// - Parameter inbox: Made before the session was opened, so that no signal is missed.
    init(
        of report: JSON, at agent: Agent, inbox: Inbox, output: Output, onInterruption: OnInterruption,
        renewal: Renewal? = nil
    ) throws(Failure) {
        guard let id = report["id"]?.stringValue.flatMap({ SessionID($0) }) else {
            throw Failure(.notAsAsked, "the agent's report names no session")
        }
        self.agent = agent
        self.id = id
        self.inbox = inbox
        self.output = output
        self.onInterruption = onInterruption
        self.renewal = renewal
        screen = Screen(output)
        givesUpAt = .now + Self.patience
        try show(report)
    }

    /// The lease is renewed at a third of its length, so that two renewals may fail.
    mutating func follow() async throws(Failure) -> Result {
        if output.isLive { inbox.send(.second, every: .seconds(1)) }
        if let renewal { inbox.send(.leaseDue, every: renewal.lease / 3) }
        inbox.read(eventsOf: id, from: agent)
        for await message in inbox.messages {
            switch message {
            case .event(let event): try take(event)
            case .eventsEnded(let failure):
                if let report = try finalReport(after: failure) { return .over(report) }
                inbox.read(eventsOf: id, from: agent, after: .seconds(1))
            case .second: try refresh()
            case .leaseDue: try renew()
            case .interrupted: return .interrupted(try interrupted())
            }
        }
        preconditionFailure("the inbox never ends")
    }

    private mutating func take(_ event: JSON) throws(Failure) {
        // A new stream begins with the events of old.
        if let sequence = event["sequence"]?.integerValue {
            guard sequence > lastSequence else { return }
            lastSequence = sequence
        }
        isStale = true
        try screen.show(event: event)
    }

    private mutating func refresh() throws(Failure) {
        guard isStale else { return try screen.redraw() }
        if let report = try currentReport() {
            isStale = false
            try show(report)
        }
    }

    private mutating func show(_ report: JSON) throws(Failure) {
        givesUpAt = .now + (SessionText(report: report).remaining ?? .zero) + Self.patience
        try screen.show(report: report)
    }

    private mutating func finalReport(after failure: Failure?) throws(Failure) -> JSON? {
        if let failure { try bear(failure) }
        guard let report = try currentReport() else { return nil }
        guard SessionText(report: report).isOver else {
            try show(report)
            return nil
        }
        try screen.clear()
        return report
    }

    /// Nil while the agent is away.
    private func currentReport() throws(Failure) -> JSON? {
        do throws(Failure) {
            return try agent.session(id)
        } catch {
            try bear(error)
            return nil
        }
    }

    /// - Throws: The failure, unless it may pass and there is time.
    private func bear(_ failure: Failure) throws(Failure) {
        switch failure.status {
        case .unreachable, .unavailable: if BootInstant.now > givesUpAt { throw failure }
        case .success, .notAsAsked, .invalid, .unauthorized, .conflict, .interrupted: throw failure
        }
    }

    private mutating func renew() throws(Failure) {
        guard let renewal else { return }
        do throws(Failure) {
            try renewal.tenancy.renew(id)
        } catch where error.code == ProblemCode.sessionEnded.rawValue {
            // The end of the events is on its way.
            return
        } catch {
            try screen.clear()
            output.note("the lease is not renewed: \(error.message)")
        }
    }

    private mutating func interrupted() throws(Failure) -> JSON? {
        try screen.clear()
        switch onInterruption {
        case .leave:
            output.note("no longer watching; session \(id) goes on")
            return nil
        case .revert:
            output.note("interrupted: reverting session \(id)")
            return try agent.revert(id)
        }
    }
}
