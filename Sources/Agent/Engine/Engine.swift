import Authorization
import Cgroups
import ChaosModel
import ContainerRuntimes
import Dispatch
import Glibc
import Hardening
import Journal
import LinuxSystem
import Namespaces
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
    private let server: EngineServer

    private init(scheduler: Scheduler, server: EngineServer) {
        self.scheduler = scheduler
        self.server = server
    }

    /// Takes back what an earlier engine left, then serves. Nil when that was all there was to do.
    package static func start(_ configuration: EngineConfiguration) async throws -> Engine? {
        let bootID = try bootIdentifier()
        let cgroups = try CgroupTree()
        let thread = try NamespaceThread()
        let keys = try KeyDirectory(loading: configuration.tenantsDirectory)
        let worker = try Executable(copying: configuration.workerProgram, named: "squall-worker")
        let (journal, scan) = try Journal.open(in: configuration.stateDirectory)
        if !scan.damagedLines.isEmpty {
            log("the journal has \(scan.damagedLines.count) damaged lines: \(scan.damagedLines.prefix(10))")
        }
        let runner = StepRunner(thread: thread, cgroups: cgroups, workerProgram: worker)
        let runtimes = RuntimeClient(path: configuration.runtimesSocket)
        let resolver = try TargetResolver(
            containers: RuntimeContainerDirectory(client: runtimes), cgroups: cgroups, thread: thread)
        let features = FeatureReport.probeAll(thread: thread, cgroups: cgroups)
        let scheduler = try Scheduler(
            journal: journal, runner: runner, directory: resolver, bootID: bootID,
            replay: ReplayStore(highWater: scan.highWater, taken: scan.tokens),
            missing: FeatureReport.missing(in: features))
        await scheduler.start()

        if !scan.live.isEmpty {
            log("taking back \(scan.live.count) sessions that an earlier engine left")
            await scheduler.recover(scan.live)
        }
        do {
            try await scheduler.compactJournal(tokens: scan.tokens)
        } catch {
            log("the journal was not compacted: \(error)")
        }
        if configuration.isRecoveryOnly {
            await scheduler.drain()
            return nil
        }

        let gate = RequestGate(keys: keys, node: configuration.nodeName)
        for (feature, reason) in FeatureReport.missing(in: features) {
            log("\(feature.rawValue) does not work here: \(reason)")
        }
        let node = NodeReporter(
            name: configuration.nodeName, bootID: bootID, journalPath: journal.path, cgroups: cgroups,
            runtimes: runtimes, scheduler: scheduler, gate: gate, features: features)
        let server = EngineServer(
            listener: OwnedDescriptor(adopting: configuration.listener),
            service: RequestService(scheduler: scheduler, gate: gate, node: node),
            gatewayUser: configuration.gatewayUser)
        // Everything has been opened that needs more.
        try SystemCallFilter.engine.load()
        await server.start()
        return Engine(scheduler: scheduler, server: server)
    }

    /// Reverts every session. Returns when nothing is left, or nothing but what cannot be undone now.
    package func stop() async -> Bool {
        await scheduler.drain()
        return await scheduler.stuckCount == 0
    }
}
