import AgentClient
import ChaosModel
import LinuxSystem

/// Stays with the sessions of a group until all are over, and tells when one gets further.
struct GroupFollower {
    /// How long the agent may be away, beyond the time at which the sessions would have ended.
    private static let patience = Duration.seconds(30)

    private let tenancy: Tenancy
    private let scope: SessionScope
    private let lease: Duration?
    private let inbox: Inbox
    private let output: Output
    private let first: GroupText

    /// - Parameter inbox: Made before the group was opened, so that no signal is missed.
    init(of group: GroupText, as tenancy: Tenancy, lease: Duration?, inbox: Inbox, output: Output) throws(Failure) {
        guard let scope = SessionScope(group.id) else {
            throw Failure(.notAsAsked, "the agent's report names no group")
        }
        self.tenancy = tenancy
        self.scope = scope
        self.lease = lease
        self.inbox = inbox
        self.output = output
        first = group
    }

    func follow() throws(Failure) -> ExitStatus {
        inbox.post(.second, every: .seconds(1))
        if let lease { inbox.post(.leaseDue, every: lease / 3) }
        var group = first
        var told: [String: String] = [:]
        var givesUpAt = Self.end(of: group)
        while true {
            for session in group.sessions where told[session.id] != session.state {
                told[session.id] = session.state
                if output.format == .table { try output.line("\(session.id)  \(session.outcome): \(session.target)") }
            }
            if group.state != "live" { return try over(group) }
            switch inbox.next() {
            case .second:
                do throws(Failure) {
                    guard let now = GroupText(try tenancy.body(of: .read(scope))) else { continue }
                    group = now
                    givesUpAt = Self.end(of: group)
                } catch {
                    let mayPass = error.status == .unreachable || error.status == .unavailable
                    guard mayPass, BootInstant.now < givesUpAt else { throw error }
                }
            case .leaseDue:
                do throws(Failure) {
                    try tenancy.renew(scope)
                } catch  where error.code == ProblemCode.sessionEnded.rawValue {
                    continue
                } catch {
                    output.note("the lease is not renewed: \(error.message)")
                }
            case .interrupted: return try interrupted()
            case .event, .eventsEnded: continue
            }
        }
    }

    private static func end(of group: GroupText) -> BootInstant {
        .now + (group.sessions.compactMap(\.remaining).max() ?? .zero) + patience
    }

    private func over(_ group: GroupText) throws(Failure) -> ExitStatus {
        try output.report(group.report)
        let isAsAsked = group.sessions.allSatisfy { session in
            session.isVerified && [Ending.expired, .completed].contains { $0.rawValue == session.ending }
        }
        return isAsAsked ? .success : .notAsAsked
    }

    private func interrupted() throws(Failure) -> ExitStatus {
        output.note("interrupted: reverting \(scope)")
        do throws(Failure) {
            try output.report(try tenancy.body(of: .end(scope)))
        } catch {
            output.note("\(scope) could not be told to end; it reverts by itself, by its lease or deadline")
            throw error
        }
        return .interrupted
    }
}
