import AgentAPI
import Audit
import Authorization
import Cgroups
package import ChaosModel
import ContainerRuntimes
import DeadMan
import Dispatch
import Faults
import Glibc
import Hardening
import Journal
import LinuxSystem
import Namespaces
import Netlink
import Processes
import Sessions
import Steps
import Targets

/// Why an engine cannot run.
package struct EngineError: Error, CustomStringConvertible {
    package let description: String
}

/// The running engine: every part, in the order in which they start and stop.
package final class Engine: Sendable {
    private let scheduler: Scheduler
    private let runner: StepRunner
    private let audit: AuditLog
    private let sessionLog: SessionLog
    private let server: EngineServer

    private init(
        scheduler: Scheduler, runner: StepRunner, audit: AuditLog, sessionLog: SessionLog, server: EngineServer
    ) {
        self.scheduler = scheduler
        self.runner = runner
        self.audit = audit
        self.sessionLog = sessionLog
        self.server = server
    }

    /// What recovery needs, and everything after it.
    private struct Foundation {
        let bootID: String
        let cgroups: CgroupTree
        let thread: NamespaceThread
        let journal: Journal
        let runner: StepRunner
        let runtimes: RuntimeClient
        let scheduler: Scheduler
        let audit: AuditLog
        let sessionLog: SessionLog
        /// Names the agent by its journal's directory.
        let mark: String
        let takenBack: [SessionID]
    }

    /// Takes back what an earlier engine left, then serves.
    ///
    /// Recovery comes before everything that it does not need: no key, no runtime and no program of ours that is missing
    /// or bad may keep a fault in effect.
    package static func start(_ configuration: EngineConfiguration) async throws -> Engine {
        let foundation = try await takeBack(configuration)
        let (runner, scheduler) = (foundation.runner, foundation.scheduler)
        await runner.use(stopper: RuntimeContainerStopper(client: foundation.runtimes))
        await runner.use(stateDirectory: configuration.stateDirectory)
        let features = await prepareFeatures(configuration, on: foundation)
        let unworkable = try FeatureReport.unworkable(features, without: configuration.givenUp)
        await scheduler.refuse(unworkable)
        let gate = RequestGate(
            keys: KeyDirectory(watching: configuration.tenantsDirectory),
            policy: PolicyFile(watching: configuration.policyFile, faults: FaultCatalogue.parameters),
            node: configuration.nodeName, ownNamespace: configuration.ownNamespace, scheduler: scheduler,
            audit: foundation.audit)
        await gate.begin()
        try gate.keepLooking()
        let tls = configuration.tlsFiles.map(TLSReporter.init)
        let node = NodeReporter(
            name: configuration.nodeName, bootID: foundation.bootID, journal: foundation.journal,
            capabilities: try CapabilityReport(givenUp: configuration.givenUp), cgroups: foundation.cgroups,
            runtimes: foundation.runtimes, scheduler: scheduler, gate: gate, audit: foundation.audit,
            tls: tls, features: features, unworkable: unworkable)
        let server = EngineServer(
            listener: OwnedDescriptor(adopting: configuration.listener),
            service: RequestService(scheduler: scheduler, gate: gate, node: node, tls: tls, audit: foundation.audit),
            gatewayUser: configuration.gatewayUser)
        // Everything has been opened that needs more.
        try SystemCallFilter.engine.load()
        await server.start()
        letGoOfProgramPages()
        return Engine(
            scheduler: scheduler, runner: runner, audit: foundation.audit, sessionLog: foundation.sessionLog,
            server: server)
    }

    /// Takes back what an earlier engine left, and serves nobody.
    ///
    /// - Returns: What became of each session. Those that are not over could not be undone now.
    package static func recoverOnly(_ configuration: EngineConfiguration) async throws -> [SessionReport] {
        let foundation = try await takeBack(configuration)
        await foundation.scheduler.drain()
        foundation.audit.flush()
        foundation.sessionLog.flush()
        return await foundation.scheduler.reports().filter { foundation.takenBack.contains($0.id) }
    }

    private static func takeBack(_ configuration: EngineConfiguration) async throws -> Foundation {
        let bootID = try bootIdentifier()
        let cgroups = try CgroupTree()
        let thread = try NamespaceThread()
        let (journal, scan) = try Journal.open(in: configuration.stateDirectory)
        // What is written down from here on has the right time.
        StepRunner.trustClock(before: scan.live.filter { $0.bootID == bootID }.flatMap(\.intents))
        let runner = StepRunner(thread: thread, spawner: try NamespaceThread(), cgroups: cgroups)
        let runtimes = RuntimeClient(path: configuration.runtimesSocket)
        let resolver = try TargetResolver(
            containers: RuntimeContainerDirectory(client: runtimes), cgroups: cgroups, thread: thread)
        let audit = AuditLog(in: configuration.stateDirectory, bytes: configuration.auditBytes)
        audit.record(AuditEvent(.started, [("version", .string(agentVersion)), ("boot", .string(bootID))]))
        let sessionLog = SessionLog()
        let scheduler = try Scheduler(
            journal: journal, runner: runner, directory: resolver, audit: audit, bootID: bootID,
            replay: ReplayStore(highWater: scan.highWater, taken: scan.tokens),
            limits: configuration.limits, telling: { sessionLog.tell($0, of: $1) })
        await scheduler.start()
        let mark = try directoryMark(configuration.stateDirectory)
        try refuseForeignJournal(scan, bootID: bootID)
        let predecessors = Predecessors(of: mark, in: cgroups)
        await predecessors.claimAll()
        let claiming = Task { await predecessors.keepClaiming() }
        await recover(scan, with: scheduler)
        let areFilesFree = await predecessors.emptyFiles()
        claiming.cancel()
        let stuck = await scheduler.stuckSessions
        // What could not be undone yet, and what the journal does not know, is undone at its deadline.
        let isUndone: (Intent) -> Bool = { intent in if case .fillDisk = intent { areFilesFree } else { true } }
        await predecessors.end(undone: Self.tags(of: scan.live, where: isUndone).subtracting(Self.tags(of: stuck)))
        return Foundation(
            bootID: bootID, cgroups: cgroups, thread: thread, journal: journal, runner: runner, runtimes: runtimes,
            scheduler: scheduler, audit: audit, sessionLog: sessionLog, mark: mark, takenBack: scan.live.map(\.id))
    }

    private static func recover(_ scan: JournalScan, with scheduler: Scheduler) async {
        await scheduler.remember(scan.past, halt: scan.halt, journalLength: scan.length)
        if !scan.live.isEmpty {
            log("taking back \(scan.live.count) sessions that an earlier engine left", .warning)
            await scheduler.recover(scan.live)
        }
        if !scan.damagedLines.isEmpty {
            // Kept as it is: somebody may still read out of it what this engine cannot.
            let lines = scan.damagedLines.prefix(10)
            return log("the journal has lines that cannot be read: \(lines); it is not compacted", .error)
        }
        do {
            try await scheduler.compactJournal(scan)
        } catch {
            log("the journal was not compacted: \(error)", .error)
        }
    }

    private static func tags(
        of sessions: [OpenedSession], where isWanted: (Intent) -> Bool = { _ in true }
    ) -> Set<UInt64> {
        Set(
            sessions.flatMap { session in
                session.intents.enumerated().filter { isWanted($1) }.flatMap { $1.tags(step: $0, of: session.id) }
            })
    }

    /// There is one engine with a journal.
    private static func directoryMark(_ path: String) throws(SystemCallError) -> String {
        let status = try fileStatus(at: path)
        return "\(status.st_dev):\(status.st_ino)"
    }

    /// Of this boot nothing can be found by another pid namespace's numbers, and what is not found counts as undone.
    ///
    /// - Throws: When sessions were opened in another one, as by an agent with `hostPID`.
    private static func refuseForeignJournal(_ scan: JournalScan, bootID: String) throws {
        let own = try pidNamespaceInode()
        let isForeign = scan.live.contains { session in
            session.bootID == bootID && session.pidNamespace.map { $0 != own } ?? false
        }
        guard isForeign else { return }
        throw EngineError(
            description:
                "the journal's sessions were opened in another pid namespace: start this with the host's (hostPID)")
    }

    /// Finds out what this node can do, and says what it cannot.
    private static func prepareFeatures(
        _ configuration: EngineConfiguration, on foundation: Foundation
    ) async -> [FeatureReport] {
        let runner = foundation.runner
        var features = [FeatureReport.unifiedCgroups(foundation.cgroups)]
        do {
            await runner.use(
                endpoints: try NodeEndpoints(
                    configuration.excluded, sparing: configuration.sparedPorts, on: foundation.thread))
            features += await prepareTraffic(configuration, on: foundation)
        } catch {
            features.append(
                FeatureReport(
                    feature: .trafficShaping, reason: "\(error)",
                    remedy: "give the agent its capabilities and hostPID: without them it may hit the node"))
        }
        do {
            await runner.use(
                workerProgram: try Executable(copying: configuration.workerProgram, named: "squall-worker"))
            features.append(FeatureReport(feature: .workers, reason: nil, remedy: nil))
        } catch {
            features.append(
                FeatureReport(feature: .workers, reason: "\(error)", remedy: "install squall-worker beside squalld"))
        }
        do {
            let program = try Executable(copying: configuration.deadManProgram, named: "squall-deadman")
            await runner.use(
                deadMan: try DeadMansProcess(
                    running: program, in: foundation.cgroups, mark: foundation.mark,
                    among: try CapabilitySet.permitted().rawValue))
            features.append(FeatureReport(feature: .deadMansProcess, reason: nil, remedy: nil))
        } catch {
            features.append(
                FeatureReport(
                    feature: .deadMansProcess, reason: "\(error)",
                    remedy: "give the agent its capabilities, the host's /sys/fs/cgroup to write to and hostPID"))
        }
        for feature in features {
            guard let reason = feature.reason else { continue }
            log("\(feature.feature.rawValue) does not work here: \(reason)", .warning)
        }
        return features
    }

    /// Whether packets can be held up, and on the node's own network those of one cgroup. For the latter code is loaded into the
    /// kernel, which the engine cannot do any more when it serves somebody.
    private static func prepareTraffic(
        _ configuration: EngineConfiguration, on foundation: Foundation
    ) async -> [FeatureReport] {
        var host = FeatureReport.unifiedCgroups(foundation.cgroups).standing(for: .hostTraffic)
        if host.reason == nil, !configuration.givenUp.contains(.netAdmin) {
            do {
                // The one includes the other, and each takes the kernel tens of milliseconds.
                let network = try NamespaceHandle(.network, ofProcess: 1).inode
                let classifiers = try CgroupClassifiers()
                try withTemporaryNetworkNamespace { namespace in
                    try StepRunner.probeShaping(in: namespace, on: foundation.thread, classifiers)
                }
                await foundation.runner.use(classifiers: classifiers, inNetwork: network)
                return [host.standing(for: .trafficShaping), host]
            } catch {
                host = FeatureReport(
                    feature: .hostTraffic, reason: "\(error)",
                    remedy:
                        "allow bpf(2) where a seccomp profile forbids it, and before Linux 5.11 locked memory; load "
                        + "cls_bpf, or use a kernel that has it")
            }
        }
        let shaping = FeatureReport.trafficShaping(foundation.thread, without: configuration.givenUp)
        return [shaping, shaping.reason == nil ? host : shaping.standing(for: .hostTraffic)]
    }

    /// Reverts every session. Returns when nothing is left, or nothing but what cannot be undone now.
    package func stop() async -> Bool {
        await scheduler.drain()
        audit.flush()
        sessionLog.flush()
        let isDone = await scheduler.count(of: .stuck) == 0
        // With something left it stays, and undoes that at its deadline.
        if isDone { await runner.dismissDeadMan() }
        return isDone
    }
}
