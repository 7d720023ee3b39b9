import AgentAPI
import Audit
import Authorization
import ChaosModel
import Faults
import LinuxSystem
import Sessions

/// Answers one request frame: what the engine's API does, free of sockets.
struct RequestService: Sendable {
    /// Sends one reply; false when nobody listens any more.
    typealias Reply = @Sendable (Frame) async -> Bool

    private let scheduler: Scheduler
    private let gate: RequestGate
    private let node: NodeReporter
    /// Nil where no TLS is served.
    private let tls: TLSReporter?
    private let audit: AuditLog

    init(scheduler: Scheduler, gate: RequestGate, node: NodeReporter, tls: TLSReporter?, audit: AuditLog) {
        self.scheduler = scheduler
        self.gate = gate
        self.node = node
        self.tls = tls
        self.audit = audit
    }

    func answer(_ frame: Frame, isOperator: Bool, reply: Reply) async {
        do throws(Problem) {
            switch frame.kind {
            case .query: _ = await reply(try await query(frame).frame)
            case .envelope: try await envelope(frame, reply: reply)
            case .command:
                guard isOperator else { throw Problem(.notOperator, "only the agent's own user may command it") }
                try await command(frame, reply: reply)
            case .credentials:
                // The private key is the gateway's alone.
                guard !isOperator, let tls, let query = CredentialsQuery(payload: frame.payload) else {
                    throw Problem(.requestMalformed, "a question for the gateway alone, where it serves TLS")
                }
                _ = await reply(await tls.answer(query).frame)
            case .question, .answer, .item, .end:
                throw Problem(.requestMalformed, "a frame that the engine does not take")
            }
        } catch {
            node.tally.countRefusal(error.code)
            _ = await reply(Answer(error).frame)
        }
    }

    // MARK: What anybody may ask

    private func query(_ frame: Frame) async throws(Problem) -> Answer {
        switch PublicQuery(rawValue: String(decoding: frame.payload, as: UTF8.self)) {
        case .faults:
            return Answer(status: 200, body: ["faults": .array(FaultCatalogue.all.map { $0.json })])
        case .node:
            return Answer(status: 200, body: await node.report())
        case .name:
            return Answer(status: 200, body: ["name": .string(node.name)])
        case .liveness:
            // Answered in a turn of whoever ends sessions in time, and of whoever takes their steps back.
            await scheduler.turn()
            return Answer(status: 200, body: ["alive": true])
        case .readiness:
            let reasons = await node.reasonsNotReady()
            return Answer(
                status: reasons.isEmpty ? 200 : 503,
                body: ["ready": .boolean(reasons.isEmpty), "reasons": .array(reasons.map(JSON.string))])
        case .metrics:
            return Answer(status: 200, body: .string(await node.metrics()))
        case nil:
            throw Problem(.requestMalformed, "an unknown query")
        }
    }

    // MARK: Signed requests

    private func envelope(_ frame: Frame, reply: Reply) async throws(Problem) {
        guard let envelope = EnvelopeRequest(payload: frame.payload) else {
            throw Problem(.requestMalformed, "an envelope that is not ROUTE SESSION TOKEN")
        }
        let request: VerifiedRequest
        do throws(Problem) {
            request = try await gate.verify(envelope)
        } catch {
            // Whose it was is not known: nothing that the token says is true.
            audit.recordDenial(AuditEvent(denied: error, envelope.route, to: []), of: "")
            throw error
        }
        var asked = request
        do throws(Problem) {
            asked = try await gate.admit(request, from: envelope)
            try await carryOut(asked, by: envelope.route, reply: reply)
        } catch {
            audit.recordDenial(
                AuditEvent(denied: error, envelope.route, to: Asker.tenant(asked).members + asked.demand.members),
                of: asked.tenant.name)
            throw error
        }
    }

    private func carryOut(
        _ request: VerifiedRequest, by route: Route, reply: Reply
    ) async throws(Problem) {
        switch route {
        case .inject:
            _ = await reply(Answer(status: 201, body: Self.document(try await scheduler.inject(request))).frame)
        case .plan:
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.plan(request))).frame)
        case .list:
            _ = await reply(Self.list(try await scheduler.list(request)).frame)
        case .read:
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.read(request))).frame)
        case .renew:
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.renew(request))).frame)
        case .end:
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.end(request))).frame)
        case .events:
            await stream(try await scheduler.events(request), reply: reply)
        }
    }

    // MARK: Operators

    private func command(_ frame: Frame, reply: Reply) async throws(Problem) {
        switch try OperatorCommand(payload: frame.payload) {
        case .list:
            _ = await reply(Self.list(await scheduler.reports()).frame)
        case .show(let session):
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.report(of: session))).frame)
        case .revert(let session):
            _ = await reply(Answer(status: 200, body: Self.document(try await scheduler.revert(session))).frame)
        case .halt(let reason):
            audit.record(AuditEvent(.halted, [("reason", reason.map(JSON.string))]))
            _ = await reply(Self.list(try await scheduler.halt(reason: reason)).frame)
        case .resume:
            audit.record(AuditEvent(.resumed))
            try await scheduler.resume()
            _ = await reply(Self.list([]).frame)
        case .events(let session):
            await stream(try await scheduler.events(of: session), reply: reply)
        case .target(let selector):
            _ = await reply(Answer(status: 200, body: try await scheduler.target(selector).json).frame)
        }
    }

    /// A plan, or one of each target of a group.
    private static func document(_ prepared: (plans: [Scheduler.Plan], choice: Scheduler.Choice?)) -> JSON {
        guard let choice = prepared.choice else { return prepared.plans[0].json }
        let (plans, omitted) = fitting(prepared.plans.map(\.json))
        return .object([
            ("matched", .integer(Int64(choice.matched))), ("seed", .integer(choice.seed)), ("plans", .array(plans)),
            ("omitted", omitted),
        ])
    }

    /// A report on a session, or on as many of a group as there is room for.
    private static func document(_ report: ScopeReport) -> JSON {
        switch report {
        case .session(let session): return session.json
        case .group(let group):
            let (told, omitted) = fitting(group.sessions.map(\.json))
            return group.json(told, omitted: omitted)
        }
    }

    /// As many as fit into a frame, and how many more there are.
    private static func fitting(_ documents: [JSON]) -> ([JSON], omitted: JSON?) {
        var bytes = 0
        let fitting = documents.prefix { json in
            bytes += json.bytes.count + 1
            return bytes < roomForReports
        }
        let omitted = documents.count - fitting.count
        return (Array(fitting), omitted > 0 ? .integer(Int64(omitted)) : nil)
    }

    /// As many as fit into a frame: those that are over are left out first, the oldest first of all.
    private static func list(_ reports: [SessionReport]) -> Answer {
        let ordered = reports.filter { $0.state != .ended } + reports.filter { $0.state == .ended }
        let (told, omitted) = fitting(ordered.map(\.json))
        return Answer(status: 200, body: .object([("sessions", .array(told)), ("omitted", omitted)]))
    }

    /// A frame has a little more.
    private static let roomForReports = Frame.maximumLength - 4096

    private func stream(_ events: AsyncStream<SessionEvent>, reply: Reply) async {
        for await event in events {
            guard await reply(Frame(.item, event.json.bytes)) else { return }
        }
        _ = await reply(Frame(.end, []))
    }
}

extension AuditEvent {
    fileprivate init(denied problem: Problem, _ route: Route, to asker: [(String, JSON?)]) {
        self.init(
            .denied,
            [("operation", .string(route.operation.rawValue))] + asker + [
                ("code", .string(problem.code.rawValue)), ("detail", .string(problem.message)),
                ("field", problem.field.map(JSON.string)),
            ])
    }
}

extension VerifiedRequest.Demand {
    /// What was asked for, as it was asked.
    fileprivate var members: [(String, JSON?)] {
        switch self {
        case .inject(let injection), .plan(let injection):
            [
                ("fault", .string(injection.fault)), ("parameters", injection.parameters),
                ("target", injection.target.json), ("durationSeconds", .integer(injection.duration.components.seconds)),
                ("reason", injection.reason.map(JSON.string)),
            ]
        case .list: []
        case .read(let scope), .renew(let scope), .end(let scope): [scope.member]
        }
    }
}
