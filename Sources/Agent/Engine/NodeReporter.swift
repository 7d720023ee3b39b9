import AgentAPI
import Audit
import Cgroups
import ChaosModel
import ContainerRuntimes
import Dispatch
import Faults
import Glibc
import Hardening
import Journal
import LinuxSystem
import Namespaces
import Sessions
import Steps

/// What this node can do, and why not: `GET /v1/node`, readiness and `squall doctor`.
actor NodeReporter {
    /// What tokens must name as their audience.
    nonisolated let name: String
    private let bootID: String
    private let journal: Journal
    private let capabilities: CapabilityReport
    private let cgroups: CgroupTree
    private let runtimes: RuntimeClient
    let scheduler: Scheduler
    let gate: RequestGate
    let audit: AuditLog
    let tls: TLSReporter?
    nonisolated let tally = RequestTally()
    private let features: [FeatureReport]
    /// By the faults' kinds, why they do not work.
    private let unworkable: [String: String]
    private let questions = DispatchQueue(label: "squall.node", target: .global())
    private let startedAt = BootInstant.now
    let startedAtWall = wallSeconds()
    private var runtimesAsked: Task<[RuntimeStatus], Never>?
    private var runtimesTold: (statuses: [RuntimeStatus], at: BootInstant)?

    init(
        name: String, bootID: String, journal: Journal, capabilities: CapabilityReport, cgroups: CgroupTree,
        runtimes: RuntimeClient, scheduler: Scheduler, gate: RequestGate, audit: AuditLog,
        tls: TLSReporter?, features: [FeatureReport], unworkable: [String: String]
    ) {
        self.name = name
        self.bootID = bootID
        self.journal = journal
        self.capabilities = capabilities
        self.cgroups = cgroups
        self.runtimes = runtimes
        self.scheduler = scheduler
        self.gate = gate
        self.audit = audit
        self.tls = tls
        self.features = features
        self.unworkable = unworkable
    }

    func report() async -> JSON {
        await gate.look()
        return .object([
            ("name", .string(name)),
            ("version", .string(agentVersion)),
            ("kernel", .string(Self.kernelRelease)),
            ("boot", .string(bootID)),
            ("uptimeSeconds", .integer((BootInstant.now - startedAt).components.seconds)),
            ("cgroups", cgroups.layout == .unified ? "v2" : "v1"),
            ("features", .array(features.map(\.json))),
            ("faults", .array(FaultCatalogue.all.map { faultReport($0) })),
            ("runtimes", .array(await runtimeStatuses().map(\.json))),
            ("capabilities", capabilities.json),
            (
                "journal",
                ["path": .string(journal.path), "problem": await scheduler.journalTrouble().map(JSON.string) ?? .null]
            ),
            ("tenants", ["problem": await gate.keysFailure.map(JSON.string) ?? .null]),
            ("policy", ["problem": await gate.policyFailure.map(JSON.string) ?? .null]),
            ("audit", await auditReport()),
            ("tls", await tls?.report),
            ("health", ["problem": await scheduler.crossing.map(JSON.string) ?? .null]),
            ("halt", await scheduler.halt?.json),
            (
                "sessions",
                [
                    "live": .integer(Int64(await scheduler.liveCount)),
                    "stuck": .integer(Int64(await scheduler.count(of: .stuck))),
                ]
            ),
        ])
    }

    /// Empty when the engine takes new sessions.
    func reasonsNotReady() async -> [String] {
        var reasons: [String] = []
        if await scheduler.isDraining { reasons.append("the agent is stopping") }
        if let halt = await scheduler.halt {
            reasons.append("an operator has halted this node\(halt.reason.map { ": \($0)" } ?? "")")
        }
        if let trouble = await scheduler.journalTrouble() {
            reasons.append("no session can be made durable: \(trouble)")
        }
        if let trouble = await audit.trouble() { reasons.append("what is decided cannot be recorded: \(trouble)") }
        let stuck = await scheduler.count(of: .stuck)
        if stuck > 0 { reasons.append("\(stuck) sessions cannot be undone: see `squall session list`") }
        // A runtime that hangs must not hold up who asks for this: the answer is that of the time before.
        if runtimesAsked == nil { Task { await runtimeStatuses() } }
        // Nor is what was found long ago, when nobody has asked since.
        let told = runtimesTold.flatMap { BootInstant.now - $0.at < .seconds(60) ? $0.statuses : nil }
        // One that nobody named and nobody misses is told of, and keeps no node from being ready.
        for status in told ?? [] {
            guard case .unreachable(let reason) = status.availability else { continue }
            reasons.append("the container runtime at \(status.socket) is not to be reached: \(reason)")
        }
        return reasons
    }

    private func faultReport(_ fault: any Fault.Type) -> JSON {
        let reason = unworkable[fault.kind]
        return .object([
            ("kind", .string(fault.kind)), ("works", .boolean(reason == nil)), ("reason", reason.map(JSON.string)),
            ("givenUp", capabilities.lost(to: fault)),
        ])
    }

    /// Whoever keeps the head elsewhere knows later whether the log was cut.
    private func auditReport() async -> JSON {
        let problem = await audit.trouble()
        return ["head": audit.head.json, "problem": problem.map(JSON.string) ?? .null]
    }

    /// Whoever asks while others do is told what they are told, however long that takes, and who asks within a second of that
    /// the same again.
    @discardableResult
    private func runtimeStatuses() async -> [RuntimeStatus] {
        if let asking = runtimesAsked { return await asking.value }
        if let told = runtimesTold, BootInstant.now - told.at < .seconds(1) { return told.statuses }
        let asking = Task { await askRuntimes() }
        runtimesAsked = asking
        let statuses = await asking.value
        runtimesAsked = nil
        runtimesTold = (statuses, .now)
        return statuses
    }

    private nonisolated func askRuntimes() async -> [RuntimeStatus] {
        await withCheckedContinuation { continuation in
            questions.async { [runtimes] in
                do throws(RuntimeFailure) {
                    continuation.resume(returning: try runtimes.status())
                } catch {
                    let unknown = RuntimeStatus.Availability.unreachable(reason: error.description)
                    continuation.resume(returning: [RuntimeStatus(socket: runtimes.path, availability: unknown)])
                }
            }
        }
    }

    private static var kernelRelease: String {
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
