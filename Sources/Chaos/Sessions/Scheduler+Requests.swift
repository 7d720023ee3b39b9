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
    /// What a request would do to one target.
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

    /// Of which pods a request would hit some.
    package struct Choice: Sendable {
        package let matched: Int
        package let seed: Int64
    }

    /// A request as far as it goes without changing anything.
    private struct Prepared {
        let fault: any Fault
        let parts: [(target: ResolvedTarget, plan: Plan)]
        /// Nil for a request that names one target.
        let choice: Choice?
    }

    /// Carries a verified request as far as it goes without changing anything.
    ///
    /// - Returns: A plan for each target, and of which they were chosen where the request lets it be chosen.
    package func plan(_ request: VerifiedRequest) async throws(Problem) -> (plans: [Plan], choice: Choice?) {
        guard case .plan(let injection) = request.demand else { throw Self.mismatch }
        _ = try take(request, for: nil)
        let prepared = try await prepare(injection, for: request.tenant)
        return (prepared.parts.map(\.plan), prepared.choice)
    }

    /// Opens a session on each target and answers once the fault is in effect on all.
    ///
    /// - Throws: Whatever refuses one of them, with nothing changed; `apply-failed` when a step could not be performed,
    ///   with everything undone.
    package func inject(_ request: VerifiedRequest) async throws(Problem) -> ScopeReport {
        guard case .inject(let injection) = request.demand else { throw Self.mismatch }
        let sessions = try await open(injection, by: request)
        let scope = sessions[0].record.group.map { SessionScope.group($0.id) } ?? .session(sessions[0].id)
        let isGroup = if case .group = scope { true } else { false }
        var failed: LiveSession?
        for session in sessions where failed == nil {
            await session.waitUntilSettled()
            // A group is in effect on all, or on none. Of a single session only what could not be done is a failure.
            switch session.machine.ending {
            case .applyFailed: failed = session
            case .targetGone, .faultEnded: failed = isGroup ? session : nil
            default: break
            }
        }
        if let failed {
            for session in sessions where session.machine.ending == nil { session.post(.end(.groupFailed)) }
            for session in sessions { await session.waitUntilOver() }
            let told = failed.events.last { $0.kind == "step-failed" }?.message
            let reason = told ?? failed.machine.ending?.words ?? "a step failed"
            throw Problem(
                .applyFailed,
                !isGroup ? reason : "\(reason), on \(failed.record.target.summary)",
                about: scope)
        }
        return Self.report(of: scope, sessions.map(\.report))
    }

    /// Returns when the sessions are on disk and under way: all, or none.
    private func open(
        _ injection: InjectionRequest, by request: VerifiedRequest
    ) async throws(Problem) -> [LiveSession] {
        if let reason = await audit.trouble() {
            throw Problem(
                .auditUnavailable, "nothing was changed, because what is decided cannot be recorded: \(reason)",
                hint: "see `squall doctor` on the node")
        }
        try refuseIfClosed()
        var ids: [SessionID] = []
        let group = injection.target.isGroup ? GroupID.random() : nil
        defer { for id in ids { openings[id] = nil } }
        let first = SessionID.random()
        let token = try take(request, for: group.map { .group($0) } ?? .session(first)).token
        ids.append(try makeRoom(for: first, of: request.tenant))

        let prepared = try await prepare(injection, for: request.tenant)
        while ids.count < prepared.parts.count { ids.append(try makeRoom(for: .random(), of: request.tenant)) }
        let containers = try await containerCount(for: request.tenant)
        // Said again: much may have happened while the runtime was asked, and nothing is waited for from here on.
        try refuseIfClosed()
        for (id, part) in zip(ids, prepared.parts) {
            try requireAllowed(
                prepared.fault, part.plan.parameters, for: part.plan.duration, on: part.target, as: id,
                of: request.tenant, among: containers)
            openings[id] = CountedSession(tenant: request.tenant, target: part.plan.target)
            if part.plan.intents.contains(where: \.runsWorker) { try refuseBeyondWorkers() }
        }
        let openedAt = BootInstant.now
        let membership = group.flatMap { id in
            prepared.choice.map {
                GroupMembership(id: id, size: prepared.parts.count, matched: $0.matched, seed: $0.seed)
            }
        }
        let records = zip(ids, prepared.parts).map { id, part in
            OpenedSession(
                id: id, group: membership, token: token, bootID: bootID, pidNamespace: pidNamespace,
                openedAt: openedAt.nanoseconds, deadline: (openedAt + part.plan.duration).nanoseconds,
                openedAtWall: wallSeconds(), fault: part.plan.fault, parameters: part.plan.parameters,
                summary: part.plan.summary, reason: injection.reason, trace: injection.trace,
                lease: injection.lease, onRestart: injection.onRestart, target: part.plan.target,
                intents: part.plan.intents)
        }
        try await write(records.map(JournalEntry.opened))

        return zip(records, prepared.parts).map { record, part in
            begin(record, on: part.target, openedAt: openedAt, by: request, notes: part.plan.notes)
        }
    }

    /// Takes a place for a session to come.
    private func makeRoom(for id: SessionID, of tenant: Tenant) throws(Problem) -> SessionID {
        try refuseBeyondLimits()
        try policy.gate(for: tenant).refuseBeyondSessions(beside: countedSessions(but: id))
        openings[id] = CountedSession(tenant: tenant, target: nil)
        return id
    }

    /// Drives a session that is on disk.
    private func begin(
        _ record: OpenedSession, on target: ResolvedTarget, openedAt: BootInstant, by request: VerifiedRequest,
        notes: [String]
    ) -> LiveSession {
        let session = LiveSession(
            record: record, signer: request.signer, target: target, openedAt: openedAt,
            machine: SessionMachine(stepCount: record.intents.count), listener: listener)
        live[session.id] = session
        openings[session.id] = nil
        counts.opened[record.fault, default: 0] += 1
        audit.record(AuditEvent(opened: record, by: request))
        session.tell("opened", "\(record.summary), on \(record.target.summary), for \(record.duration.text)")
        for note in notes { session.tell("note", note) }
        watch(session, target)
        if isDraining { session.post(.end(.drained)) }
        if halt != nil { session.post(.end(.halted)) }
        if !isTrusted(session) { session.post(.end(.revoked)) }
        drive(session, session.machine.handle(.journaled))
        armTimer()
        return session
    }

    package func renew(_ request: VerifiedRequest) async throws(Problem) -> ScopeReport {
        guard case .renew(let scope) = request.demand else { throw Self.mismatch }
        let sessions = try sessions(of: scope, request.tenant)
        guard let lease = sessions.first?.record.lease else {
            throw Problem(.fieldInvalid, "the \(scope.kind) was opened without a lease", field: scope.kind)
        }
        // Those of a group that have ended for themselves keep none of the others from living on.
        guard sessions.contains(where: { $0.machine.ending == nil }) else {
            throw Problem(.sessionEnded, "the \(scope.kind) is already ending", about: scope)
        }
        // A renewal must not use up the room that is kept for ends.
        try await write([.tokenTaken(try take(request, for: scope).token)], isBeginning: true)
        for session in sessions where session.machine.ending == nil { session.leaseEnd = .now + lease }
        armTimer()
        return Self.report(of: scope, sessions.map(\.report))
    }

    /// Ends a session, or all of a group, and answers once they are undone, or stuck.
    package func end(_ request: VerifiedRequest) async throws(Problem) -> ScopeReport {
        guard case .end(let scope) = request.demand else { throw Self.mismatch }
        let sessions = try sessions(of: scope, request.tenant)
        let token = try take(request, for: scope).token
        audit.record(AuditEvent(endOf: scope, askedBy: .tenant(request)))
        // Ending comes first: a journal that cannot be written must not keep a fault in effect.
        let reports = await end(sessions)
        do {
            try await commit([.tokenTaken(token)])
        } catch {
            // It is over all the same. The worst that the token could do after a restart is to end it once more.
            for session in sessions { session.tell("journal-failed", "\(error)") }
        }
        return Self.report(of: scope, reports)
    }

    package func read(_ request: VerifiedRequest) async throws(Problem) -> ScopeReport {
        guard case .read(let scope) = request.demand else { throw Self.mismatch }
        let sessions = try sessions(of: scope, request.tenant)
        _ = try take(request, for: scope)
        return await measuredReport(of: scope, sessions)
    }

    package func events(_ request: VerifiedRequest) throws(Problem) -> AsyncStream<SessionEvent> {
        guard case .read(.session(let id)) = request.demand else { throw Self.mismatch }
        let session = try sessions(of: .session(id), request.tenant)[0]
        _ = try take(request, for: .session(id))
        let own = live.values.reduce(0) { $0 + ($1.tenant == request.tenant ? $1.subscriberCount : 0) }
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
        _ = try take(request, for: nil)
        return reports { $0.tenant == request.tenant }
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
        live.values.filter { $0.id != id }.map { CountedSession(tenant: $0.tenant, target: $0.record.target) }
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
        try gate.authorize(fault, parameters, for: duration, on: target.facts.targetClass)
        try gate.admit(target.standing)
        try gate.admit(target.facts, beside: countedSessions(but: id), containers: containers)
    }

    private func prepare(_ injection: InjectionRequest, for tenant: Tenant) async throws(Problem) -> Prepared {
        let (fault, parameters) = try FaultCatalogue.fault(of: injection.fault, parameters: injection.parameters)
        let gate = try policy.gate(for: tenant)
        try gate.authorize(fault, parameters, for: injection.duration, on: injection.target.targetClass)
        if let reason = unworkable[injection.fault] {
            throw Problem(
                .faultUnsupported, "\(injection.fault) does not work on this node: \(reason)", field: "fault",
                hint: "`squall doctor` on the node names the remedy")
        }
        try fault.refuseTooShort(injection.duration)
        // Of others' namespaces nobody learns which pods there are.
        if let namespace = injection.target.namespace { try gate.admit(namespace: namespace) }
        // Nor, of whom none can be, which containers.
        if case .one(.container) = injection.target { try gate.admitIdentified() }
        switch injection.target {
        case .one(let selector):
            let target = try await directory.resolve(selector)
            let plan = try await plan(fault, parameters, of: injection, on: target, by: gate)
            return Prepared(fault: fault, parts: [(target, plan)], choice: nil)
        case .pods(let group):
            // What waits for runtimes and name servers: one at a time of a tenant, and not for ever.
            guard preparingGroups.insert(tenant).inserted else {
                throw Problem(
                    .rateExceeded, "another group of this tenant is being prepared", hint: "wait for its answer")
            }
            defer { preparingGroups.remove(tenant) }
            let deadline = BootInstant.now + Self.groupPreparation
            let chosen = try await directory.resolve(group, before: deadline)
            var parts: [(ResolvedTarget, Plan)] = []
            for target in chosen.targets {
                guard BootInstant.now < deadline, !isDraining, halt == nil else {
                    try refuseIfClosed()
                    throw Problem(
                        .targetUnresolvable, "in \(Self.groupPreparation.text) only \(parts.count) pods were prepared",
                        field: "target.pods", hint: "fewer pods, or hosts whose names are looked up faster")
                }
                do throws(Problem) {
                    parts.append((target, try await plan(fault, parameters, of: injection, on: target, by: gate)))
                } catch {
                    throw Problem(
                        error.code, "\(error.message), on \(target.facts.summary)", field: error.field,
                        hint: error.hint)
                }
            }
            return Prepared(
                fault: fault, parts: parts, choice: Choice(matched: chosen.matched, seed: chosen.seed))
        }
    }

    private func plan(
        _ fault: any Fault, _ parameters: JSON, of injection: InjectionRequest, on target: ResolvedTarget,
        by gate: TenantGate
    ) async throws(Problem) -> Plan {
        try gate.admit(target.standing)
        let observation = try observe(target)
        let steps = try fault.steps(for: observation)
        try await refuseStrangers(inNetworkOf: target, hitBy: steps, gate)
        let intents = try await runner.prepare(steps, on: target)
        try refuseBesideStuck(intents)
        for unit in intents.flatMap(\.stoppedBeside) {
            do throws(Problem) {
                try gate.admit(unit: unit)
            } catch {
                throw Problem(
                    error.code, "systemd would stop \(unit) too, which depends on the target: \(error.message)",
                    field: error.field, hint: error.hint)
            }
        }
        if injection.onRestart == .reinject, intents.contains(where: \.outlivesTarget) {
            throw Problem(
                .fieldInvalid, "\(injection.fault) goes on without its target's process, and follows no other",
                field: "onRestart", hint: "leave it out")
        }
        return Plan(
            fault: injection.fault, summary: fault.summary, parameters: parameters, target: target.facts,
            intents: intents, notes: fault.notes(on: observation), duration: injection.duration,
            reach: fault.reach(on: observation))
    }

    /// Before anything is sent from there, as questions for names. Who comes later is not seen.
    func refuseStrangers(
        inNetworkOf target: ResolvedTarget, hitBy steps: [Step], _ gate: TenantGate
    ) async throws(Problem) {
        guard target.mayShareNetwork, !gate.mayHitWholeHost, steps.contains(where: \.hitsNetwork) else { return }
        try gate.admit(inNetworkWith: try await directory.strangers(inNetworkOf: target))
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

    private static func nodeMemory() throws(CgroupFileError) -> NodeMemory? {
        do throws(SystemCallError) {
            return try NodeMemory.current()
        } catch {
            throw .system(error)
        }
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

    /// What a request is about: one session at least. Another tenant's is as if it did not exist; an operator, who is none,
    /// sees all.
    private func sessions(of scope: SessionScope, _ tenant: Tenant? = nil) throws(Problem) -> [LiveSession] {
        func isTheirs(_ session: LiveSession) -> Bool { tenant.map { $0 == session.tenant } ?? true }
        switch scope {
        case .session(let id):
            let session = try known(id)
            guard isTheirs(session) else { throw Self.unknownSession }
            return [session]
        case .group(let id):
            let sessions = inOrder { $0.record.group?.id == id && isTheirs($0) }
            if sessions.isEmpty { throw Problem(.sessionNotFound, "there is no such group on this node") }
            return sessions
        }
    }

    private func end(_ sessions: [LiveSession]) async -> [SessionReport] {
        for session in sessions { session.post(.end(.cancelled)) }
        for session in sessions { await session.waitUntilOver() }
        return sessions.map(\.report)
    }

    private func measuredReport(of scope: SessionScope, _ sessions: [LiveSession]) async -> ScopeReport {
        var reports: [SessionReport] = []
        for session in sessions { reports.append(await measuredReport(of: session)) }
        return Self.report(of: scope, reports)
    }

    /// - Parameter reports: Of each of its sessions: one at least.
    private static func report(of scope: SessionScope, _ reports: [SessionReport]) -> ScopeReport {
        if case .group = scope, let membership = reports[0].group {
            return .group(GroupReport(membership, sessions: reports))
        }
        return .session(reports[0])
    }

    private func take(_ request: VerifiedRequest, for scope: SessionScope?) throws(Problem) -> AuthorizedRequest {
        try replay.take(request, for: scope, now: wallSeconds())
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

    package func report(of scope: SessionScope) async throws(Problem) -> ScopeReport {
        await measuredReport(of: scope, try sessions(of: scope))
    }

    package func events(of id: SessionID) throws(Problem) -> AsyncStream<SessionEvent> {
        try known(id).subscribe(on: executor.queue)
    }

    package func revert(_ scope: SessionScope) async throws(Problem) -> ScopeReport {
        let sessions = try sessions(of: scope)
        audit.record(AuditEvent(endOf: scope, askedBy: .operator))
        return Self.report(of: scope, await end(sessions))
    }

    package var liveCount: Int { live.count }

    /// Returns when the sessions and their steps have each had a turn.
    package func turn() async { await runner.turn() }
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
        inOrder(isWanted).map(\.report)
    }

    /// Live and past ones, the newest first.
    private func inOrder(_ isWanted: (LiveSession) -> Bool) -> [LiveSession] {
        (past + live.values).filter(isWanted).sorted {
            ($0.record.openedAtWall, $0.id.text) > ($1.record.openedAtWall, $1.id.text)
        }
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
        _ fault: any Fault, _ parameters: JSON, for duration: Duration, on target: TargetClass
    ) throws(Problem) {
        if type(of: fault).takesHostDown { try admitPower() }
        let implied = fault.implied
        let told = (parameters.members ?? []).filter { told in !implied.contains { $0.name == told.name } }
        try authorize(
            fault: type(of: fault).kind, for: duration, parameters: .object(told + implied),
            of: type(of: fault).parameters, on: target)
    }
}
