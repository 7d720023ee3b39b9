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

    private let agent: Agent
    private let id: SessionID
    private let output: Output
    private let onInterruption: OnInterruption
    private let inbox: Inbox
    private let renewal: Renewal?
    private var screen: Screen
    /// Of the last event shown. The sequence begins anew in an agent that was restarted, the offset goes on.
    private var last: (offset: Double, sequence: Int64) = (-1, -1)
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
    mutating func follow() throws(Failure) -> Result {
        inbox.post(.second, every: .seconds(1))
        if let renewal { inbox.post(.leaseDue, every: renewal.lease / 3) }
        inbox.read(eventsOf: id, from: agent)
        while true {
            switch inbox.next() {
            case .event(let event): try take(event)
            case .eventsEnded(let failure):
                if let failure { try bear(failure) } else if let report = try reportIfOver() { return .over(report) }
                inbox.read(eventsOf: id, from: agent, after: .seconds(1))
            case .second:
                if let report = try refresh() { return .over(report) }
            case .leaseDue: try renew()
            case .interrupted: return .interrupted(try interrupted())
            }
        }
    }

    private mutating func take(_ event: JSON) throws(Failure) {
        // A new stream begins with the events of old.
        let place = (event["offsetSeconds"]?.doubleValue ?? 0, event["sequence"]?.integerValue ?? 0)
        guard place > last else { return }
        last = place
        isStale = true
        try screen.show(event: event)
    }

    /// The report of a session that is stuck: its events go on, for as long as undoing is tried again.
    private mutating func refresh() throws(Failure) -> JSON? {
        guard isStale else {
            try screen.redraw()
            return nil
        }
        guard let report = try currentReport() else { return nil }
        isStale = false
        try show(report)
        guard SessionText(report: report).isStuck else { return nil }
        try screen.clear()
        return report
    }

    private mutating func show(_ report: JSON) throws(Failure) {
        givesUpAt = .now + (SessionText(report: report).remaining ?? .zero) + Self.patience
        try screen.show(report: report)
    }

    private mutating func reportIfOver() throws(Failure) -> JSON? {
        guard let report = try currentReport() else { return nil }
        let session = SessionText(report: report)
        guard session.hasEnded || session.isStuck else {
            try show(report)
            return nil
        }
        try screen.clear()
        return report
    }

    /// Nil while the agent is away.
    private mutating func currentReport() throws(Failure) -> JSON? {
        do throws(Failure) {
            return try agent.report(on: .session(id))
        } catch {
            try bear(error)
            return nil
        }
    }

    /// - Throws: The failure, unless it may pass and there is time.
    private mutating func bear(_ failure: Failure) throws(Failure) {
        switch failure.status {
        case .unreachable, .unavailable: if BootInstant.now < givesUpAt { return }
        case .success, .notAsAsked, .invalid, .unauthorized, .conflict, .notCarriedOut, .unfinished, .interrupted: break
        }
        try screen.clear()
        throw failure
    }

    private mutating func renew() throws(Failure) {
        guard let renewal else { return }
        do throws(Failure) {
            try renewal.tenancy.renew(.session(id))
        } catch  where error.code == ProblemCode.sessionEnded.rawValue {
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
            do throws(Failure) {
                return try agent.revert(.session(id))
            } catch {
                output.note("session \(id) could not be told to end; it reverts by itself, by its lease or deadline")
                throw error
            }
        }
    }
}
