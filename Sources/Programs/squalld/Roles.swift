import Authorization
import ChaosModel
import Dispatch
import Engine
import Faults
import Glibc
import Hardening
import Keeper
import LinuxSystem
import Namespaces

func runKeeper(_ options: AgentOptions) -> Never {
    do {
        let capabilities = EngineCapability.everything
        try capabilities.keepOnlyThese()
        let missing = try capabilities.missing()
        let lacking = missing.subtracting(EngineCapability.optional)
        if !lacking.isEmpty { AgentLog.write("started without \(lacking)", .warning) }
        let keeper = try Keeper(options.keeper(engineCapabilities: capabilities.subtracting(missing)))
        exit(keeper.run())
    } catch {
        exit(code: 71, saying: "cannot start: \(error)")
    }
}

/// Serves until SIGTERM, then reverts everything. Status 0 says that nothing was left.
func runEngine(_ options: AgentOptions) -> Never {
    var configuration = options.engine
    do {
        if !options.isRecoveryOnly { configuration.givenUp = try EngineCapability.giveUpUnneeded(configuration) }
    } catch {
        exit(code: 71, saying: "the engine cannot give up capabilities: \(error)")
    }
    do {
        // Before Dispatch has threads.
        try SystemCallFilter.early.load()
    } catch {
        exit(code: 71, saying: "the engine cannot start: \(error)")
    }
    if !configuration.givenUp.isEmpty {
        AgentLog.write("the policy needs none of \(configuration.givenUp): given up", .warning)
    }
    raiseLimit(to: options.mostDescriptors)
    signal(SIGPIPE, SIG_IGN)
    // Blocked before Dispatch makes threads, so that only the source below sees it.
    signal(SIGTERM, SIG_IGN)
    let stop = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
    let stopped = AsyncStream { continuation in
        stop.setEventHandler { @Sendable in continuation.yield() }
        stop.resume()
    }
    Task { [configuration] in
        do {
            if options.isRecoveryOnly { exit(try await recover(options).isComplete ? 0 : 75) }
            let engine = try await Engine.start(configuration)
            for await _ in stopped { break }
            exit(await engine.stop() ? 0 : 75)
        } catch {
            exit(code: 71, saying: "the engine cannot start: \(error)")
        }
    }
    dispatchMain()
}

/// What the agent's container is given capabilities for, for manifests and docs/capabilities.md.
func printCapabilities(_ options: AgentOptions) -> Never {
    var needed = EngineCapability.everything
    if options.namesPolicy {
        let file = PolicyFile(watching: options.policyFile, faults: FaultCatalogue.parameters)
        if let failure = file.failure { exit(code: 78, saying: failure) }
        needed = EngineCapability.needed(by: file.policy).union(EngineCapability.keepers)
    }
    let list = EngineCapability.all.filter { needed.contains($0.capability) }.map { each -> JSON in
        .object([
            ("name", .string(each.capability.description)), ("reason", .string(each.reason)),
            ("faults", each.faults.map { .array($0.map { .string($0.kind) }) }),
            ("optional", each.isOptional ? true : nil),
        ])
    }
    exit(code: 0, saying: JSON.array(list).text)
}

/// Without keeper, gateway and runtime. Status 0 says that nothing is left, 75 that something could not be undone now.
func runRecovery(_ options: AgentOptions) -> Never {
    do {
        try EngineCapability.everything.keepOnlyThese()
        // Before anything opens a cgroup's file or has a thread.
        try enterHostCgroupNamespace()
        guard let lock = try AgentLock.takeIfFree(in: options.stateDirectory) else {
            exit(code: 75, saying: "an agent runs with \(options.stateDirectory): it takes everything back itself")
        }
        raiseLimit(to: nil)
        Task {
            do {
                let recovery = try await recover(options)
                for line in recovery.lines { StandardStream.output.writeLine(line) }
                withExtendedLifetime(lock) {}
                exit(recovery.isComplete ? 0 : 75)
            } catch {
                exit(code: 71, saying: "cannot recover: \(error)")
            }
        }
    } catch {
        exit(code: 71, saying: "cannot recover: \(error)")
    }
    dispatchMain()
}

/// What became of the sessions that an agent had left.
private struct Recovery {
    let lines: [String]
    let isComplete: Bool
}

private func printable(_ text: String) -> String {
    String(
        text.map { character in
            character.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F } ? character : "?"
        })
}

private func recover(_ options: AgentOptions) async throws -> Recovery {
    let reports = try await Engine.recoverOnly(options.engine)
    let lines = reports.map { report in
        let steps = report.steps.map { "\($0.undo?.word ?? "not undone"): \($0.summary)" }
        // Names in it are the target's.
        return printable(
            "\(report.id.text)  \(report.fault) on \(report.target.summary): \(steps.joined(separator: "; "))")
    }
    let stuck = reports.count { $0.state != .ended }
    let all = "\(reports.count) session\(reports.count == 1 ? "" : "s")"
    let summary =
        stuck > 0 ? "\(stuck) of \(all) could not be undone now: try again" : "nothing is left: \(all) taken back"
    return Recovery(lines: lines + [summary], isComplete: stuck == 0)
}

/// Each live session holds a few descriptors: as many are allowed as the container allows at all, or as this says.
private func raiseLimit(to most: Int?) {
    do throws(SystemCallError) {
        try raiseDescriptorLimit(to: most)
    } catch {
        AgentLog.write("the limit of open files stays as it was: \(error)", .warning)
    }
}

func exit(code: Int32, saying message: String) -> Never {
    if code == 0 {
        StandardStream.output.writeLine(message)
    } else {
        AgentLog.write(message, .error)
    }
    exit(code)
}
