import Audit
package import Authorization
import Cgroups
package import ChaosModel
package import Faults
import Glibc
package import Journal
import LinuxSystem
package import Steps
import Targets

extension Scheduler {
    /// What a request would do.
    package struct Plan: Sendable {
        package let fault: String
        package let summary: String
        package let parameters: JSON
        package let target: TargetFacts
        package let intents: [Intent]
        /// What is to be known before it is done: for people.
        package let notes: [String]
        package let duration: Duration
        package let reach: Reach
    }

    /// Carries a verified request as far as it goes without changing anything.
    package func plan(_ request: VerifiedRequest) async throws(Problem) -> Plan {
        guard case .plan(let injection) = request.demand else { throw Self.mismatch }
        _ = try take(request, session: nil)
        return try await prepare(injection, for: request.tenant).plan
    }

    /// Opens a session and answers once its fault is in effect.
    ///
    /// - Throws: Whatever refuses it, with nothing changed; `apply-failed` when a step could not be performed,
    ///   with everything undone.
    package func inject(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .inject(let injection) = request.demand else { throw Self.mismatch }
        let session = try await open(injection, by: request)
        await session.waitUntilSettled()
        if session.machine.ending == .applyFailed {
            let reason = session.events.last { $0.kind == "step-failed" }?.message ?? "a step failed"
            throw Problem(.applyFailed, reason, session: session.id)
        }
        return session.report
    }

    /// Returns when the session is on disk and under way.
    private func open(
        _ injection: InjectionRequest, by request: VerifiedRequest
    ) async throws(Problem) -> LiveSession {
        if let reason = await audit.trouble() {
            throw Problem(
                .auditUnavailable, "nothing was changed, because what is decided cannot be recorded: \(reason)",
                hint: "see `squall doctor` on the node")
        }
        try refuseIfClosed()
        try refuseBeyondLimits()
        let tenant = request.tenant
        let id = SessionID.random()
        let authorized = try take(request, session: id)
        try policy.gate(for: tenant).refuseBeyondSessions(beside: countedSessions(but: id))
        openings[id] = CountedSession(tenant: tenant, target: nil)
        defer { openings[id] = nil }

        let (fault, target, plan) = try await prepare(injection, for: tenant)
        let containers = try await containerCount(for: tenant)
        // Said again: much may have happened while the runtime was asked, and nothing is waited for from here on.
        try refuseIfClosed()
        try requireAllowed(
            fault, plan.parameters, for: plan.duration, on: target, as: id, of: tenant, among: containers)
        openings[id] = CountedSession(tenant: tenant, target: plan.target)
        if plan.intents.contains(where: \.runsWorker) { try refuseBeyondWorkers() }
        let openedAt = BootInstant.now
        let record = OpenedSession(
            id: id, token: authorized.token, bootID: bootID, pidNamespace: pidNamespace, openedAt: openedAt.nanoseconds,
            deadline: (openedAt + plan.duration).nanoseconds, openedAtWall: wallSeconds(), fault: plan.fault,
            parameters: plan.parameters, summary: plan.summary, reason: injection.reason, lease: injection.lease,
            onRestart: injection.onRestart, target: plan.target, intents: plan.intents)
        try await write([.opened(record)])

        let session = LiveSession(
            record: record, signer: request.signer, target: target, openedAt: openedAt,
            machine: SessionMachine(stepCount: plan.intents.count))
        live[id] = session
        openings[id] = nil
        counts.opened[plan.fault, default: 0] += 1
        audit.record(AuditEvent(opened: record, by: request))
        session.tell("opened", "\(plan.summary), on \(plan.target.summary), for \(plan.duration.text)")
        for note in plan.notes { session.tell("note", note) }
        watch(session, target)
        if isDraining { session.post(.end(.drained)) }
        if halt != nil { session.post(.end(.halted)) }
        if !isTrusted(session) { session.post(.end(.revoked)) }
        drive(session, session.machine.handle(.journaled))
        armTimer()
        return session
    }

    package func renew(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .renew(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        guard let lease = session.record.lease else {
            throw Problem(.fieldInvalid, "the session was opened without a lease", field: "session")
        }
        guard session.machine.ending == nil else {
            throw Problem(.sessionEnded, "the session is already ending", session: session.id)
        }
        // A renewal must not use up the room that is kept for ends.
        try await write([.tokenTaken(try take(request, session: id).token)], isBeginning: true)
        session.leaseEnd = .now + lease
        armTimer()
        return session.report
    }

    /// Ends a session and answers once it is undone, or stuck.
    package func end(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .end(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        let token = try take(request, session: id).token
        audit.record(AuditEvent(endOf: id, askedBy: .tenant(request)))
        // Ending comes first: a journal that cannot be written must not keep a fault in effect.
        let report = await end(session, .cancelled)
        do {
            try await commit([.tokenTaken(token)])
        } catch {
            // It is over all the same. The worst that the token could do after a restart is to end it once more.
            session.tell("journal-failed", "\(error)")
        }
        return report
    }

    package func read(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        await measuredReport(of: try readable(request))
    }

    package func events(_ request: VerifiedRequest) throws(Problem) -> AsyncStream<SessionEvent> {
        let session = try readable(request)
        let own = live.values.reduce(0) { $0 + ($1.record.tenant == request.tenant ? $1.subscriberCount : 0) }
        let most = LiveSession.mostSubscribers
        guard session.subscriberCount < most.ofSession, own < most.ofTenant else {
            throw Problem(
                .limitExceeded, "\(session.subscriberCount) follow the session, and \(own) all of the tenant's",
                hint:
                    "at most \(most.ofSession) follow one session, \(most.ofTenant) all of a tenant's: read it instead")
        }
        return session.subscribe(on: executor.queue)
    }

    /// The tenant's own sessions, the newest first.
    package func list(_ request: VerifiedRequest) throws(Problem) -> [SessionReport] {
        guard case .list = request.demand else { throw Self.mismatch }
        _ = try take(request, session: nil)
        return reports { $0.record.tenant == request.tenant }
    }

    private func readable(_ request: VerifiedRequest) throws(Problem) -> LiveSession {
        guard case .read(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        _ = try take(request, session: id)
        return session
    }

    private static var mismatch: Problem {
        Problem(.operationMismatch, "the token is for another operation", field: "op")
    }

    private func refuseIfClosed() throws(Problem) {
        try refuseUnhealthy()
        if isDraining { throw Problem(.draining, "the agent is stopping and takes no new session") }
        if let halt {
            throw Problem(
                .halted, "an operator has halted this node\(halt.reason.map { ": \($0)" } ?? "")",
                hint: "`squall resume` on the node, by an operator")
        }
    }

    /// All that are under way, but one.
    func countedSessions(but id: SessionID) -> [CountedSession] {
        live.values.filter { $0.id != id }.map { CountedSession(tenant: $0.record.tenant, target: $0.record.target) }
            + openings.filter { $0.key != id }.values
    }

    /// Nil where the tenant's policy does not count them.
    func containerCount(for tenant: Tenant) async throws(Problem) -> Int? {
        try policy.gate(for: tenant).countsContainers ? try await directory.containerCount() : nil
    }

    /// Asks the policy as it is now for all that can be asked when the target is known.
    ///
    /// - Parameter containers: How many run on this node; nil where they are not counted.
    func requireAllowed(
        _ fault: any Fault, _ parameters: JSON, for duration: Duration, on target: ResolvedTarget, as id: SessionID,
        of tenant: Tenant, among containers: Int?
    ) throws(Problem) {
        let gate = try policy.gate(for: tenant)
        try gate.authorize(fault, parameters, for: duration, onContainer: target.facts.container != nil)
        try gate.admit(target.standing)
        try gate.admit(target.facts, beside: countedSessions(but: id), containers: containers)
    }

    private func prepare(
        _ injection: InjectionRequest, for tenant: Tenant
    ) async throws(Problem) -> (fault: any Fault, target: ResolvedTarget, plan: Plan) {
        let (fault, parameters) = try FaultCatalogue.fault(of: injection.fault, parameters: injection.parameters)
        let gate = try policy.gate(for: tenant)
        try gate.authorize(fault, parameters, for: injection.duration, onContainer: injection.target.isContainer)
        if let reason = unworkable[injection.fault] {
            throw Problem(
                .faultUnsupported, "\(injection.fault) does not work on this node: \(reason)", field: "fault",
                hint: "`squall doctor` on the node names the remedy")
        }
        try fault.refuseTooShort(injection.duration)
        // Of others' namespaces nobody learns which pods there are.
        if case .pod(let pod) = injection.target { try gate.admit(namespace: pod.namespace) }
        let target = try await directory.resolve(injection.target)
        try gate.admit(target.standing)
        let observation = try observe(target)
        let steps = try fault.plan(for: observation)
        let intents = try await runner.prepare(steps, on: target)
        try refuseBesideStuck(intents)
        let plan = Plan(
            fault: injection.fault, summary: fault.summary, parameters: parameters, target: target.facts,
            intents: intents, notes: fault.notes(on: observation), duration: injection.duration,
            reach: fault.reach)
        return (fault, target, plan)
    }

    /// What is stuck in what sessions share is taken out at its deadline by whoever can, with all that is beside it.
    func refuseBesideStuck(_ intents: [Intent]) throws(Problem) {
        let wanted = Set(intents.compactMap(\.shared))
        let isBeside = live.values.contains { session in
            session.machine.state == .stuck && !wanted.isDisjoint(with: session.record.intents.compactMap(\.shared))
        }
        guard isBeside else { return }
        throw Problem(
            .targetBusy, "an earlier session on the target could not be undone yet", field: "target",
            hint: "an operator sees it, and why, with `squall session list` on the node")
    }

    /// `/proc/meminfo`; nil where it does not say.
    private static func nodeMemory() throws(CgroupFileError) -> NodeMemory? {
        let text: String
        do throws(SystemCallError) {
            text = try TextFile.read("/proc/meminfo")
        } catch {
            throw .system(error)
        }
        func bytes(_ name: String) -> ByteCount? {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return line.flatMap { Int64($0.filter(\.isNumber)) }.map { ByteCount($0 * 1024) }
        }
        guard let total = bytes("MemTotal"), let available = bytes("MemAvailable") else { return nil }
        return NodeMemory(total: total, available: available)
    }

    func observe(_ target: ResolvedTarget) throws(Problem) -> TargetObservation {
        do throws(CgroupFileError) {
            return TargetObservation(
                facts: target.facts, cpuCount: target.cpuCount, cpuQuota: try target.cgroup.cpuLimit(),
                nodeCPUCount: sysconf(Int32(_SC_NPROCESSORS_ONLN)), isOnHostNetwork: target.isOnHostNetwork,
                memoryLimit: try target.cgroup.memoryLimit().map { ByteCount($0.bytes) },
                nodeMemory: try Self.nodeMemory(),
                diesTogether: try target.cgroup.diesTogether())
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
    }

    /// Another tenant's session is as if it did not exist.
    private func session(_ id: SessionID, of tenant: Tenant) throws(Problem) -> LiveSession {
        let session = try known(id)
        guard session.record.tenant == tenant else { throw Self.unknownSession }
        return session
    }

    private func take(_ request: VerifiedRequest, session: SessionID?) throws(Problem) -> AuthorizedRequest {
        try replay.take(request, for: session, now: wallSeconds())
    }

    func write(_ entries: [JournalEntry], isBeginning: Bool = false) async throws(Problem) {
        do {
            try await commit(entries, isBeginning: isBeginning)
        } catch {
            throw Problem(
                .journalUnavailable, "nothing was changed, because it could not be made durable: \(error)",
                hint: "see `squall doctor` on the node")
        }
    }
}

// MARK: - Operators

extension Scheduler {
    package func reports() -> [SessionReport] { reports { _ in true } }

    package func report(of id: SessionID) async throws(Problem) -> SessionReport {
        await measuredReport(of: try known(id))
    }

    package func events(of id: SessionID) throws(Problem) -> AsyncStream<SessionEvent> {
        try known(id).subscribe(on: executor.queue)
    }

    package func revert(_ id: SessionID) async throws(Problem) -> SessionReport {
        let session = try known(id)
        audit.record(AuditEvent(endOf: id, askedBy: .operator))
        return await end(session, .cancelled)
    }

    package var liveCount: Int { live.count }
    package var stuckSessions: [OpenedSession] { live.values.filter { $0.machine.state == .stuck }.map(\.record) }

    /// Takes no new session and reverts all that live. Returns when none is left, or none but stuck ones.
    package func drain() async {
        isDraining = true
        await endAll(.drained)
    }

    /// Returns when no session is left, or none but stuck ones. New ones are refused meanwhile.
    func endAll(_ ending: Ending) async {
        for session in live.values { session.post(.end(ending)) }
        // A request that was being opened when this began either ends by itself or becomes a session first.
        while opening > 0 || live.values.contains(where: { $0.machine.state != .stuck }) {
            if let session = live.values.first(where: { $0.machine.state != .stuck }) {
                await session.waitUntilChanged()
            } else {
                await pause(.milliseconds(5))
            }
        }
    }

    private func known(_ id: SessionID) throws(Problem) -> LiveSession {
        guard let session = live[id] ?? past.first(where: { $0.id == id }) else { throw Self.unknownSession }
        return session
    }

    private static var unknownSession: Problem {
        Problem(.sessionNotFound, "there is no such session on this node")
    }

    private func reports(where isWanted: (LiveSession) -> Bool) -> [SessionReport] {
        (past + live.values).filter(isWanted).sorted {
            ($0.record.openedAtWall, $0.id.text) > ($1.record.openedAtWall, $1.id.text)
        }.map(\.report)
    }

    private func end(_ session: LiveSession, _ ending: Ending) async -> SessionReport {
        session.post(.end(ending))
        while session.machine.state != .ended && session.machine.state != .stuck {
            await session.waitUntilChanged()
        }
        return session.report
    }
}

extension ResolvedTarget {
    /// What a policy asks of it.
    var standing: TargetStanding {
        TargetStanding(facts: facts, annotations: annotations, isOnHostNetwork: isOnHostNetwork)
    }
}

extension TenantGate {
    /// - Throws: `fault-denied`, `duration-denied`, `intensity-denied`, `target-protected`.
    func authorize(
        _ fault: any Fault, _ parameters: JSON, for duration: Duration, onContainer isContainer: Bool
    ) throws(Problem) {
        let implied = fault.implied
        let told = (parameters.members ?? []).filter { told in !implied.contains { $0.name == told.name } }
        try authorize(
            fault: type(of: fault).kind, for: duration, parameters: .object(told + implied),
            of: type(of: fault).parameters, onContainer: isContainer)
    }
}
