import Dispatch
import Engine
import Glibc
import Hardening
import Keeper
import LinuxSystem

func runKeeper(_ options: AgentOptions) -> Never {
    do {
        let capabilities = AgentOptions.engineCapabilities
        try capabilities.keepOnlyThese()
        let missing = try capabilities.missing()
        if !missing.isEmpty { StandardStream.error.writeLine("squalld: started without \(missing)") }
        let keeper = try Keeper(options.keeper(engineCapabilities: capabilities.subtracting(missing)))
        exit(keeper.run())
    } catch {
        exit(code: 71, saying: "cannot start: \(error)")
    }
}

/// Serves until SIGTERM, then reverts everything. Status 0 says that nothing was left.
func runEngine(_ options: AgentOptions) -> Never {
    raiseDescriptorLimit()
    signal(SIGPIPE, SIG_IGN)
    // Blocked before Dispatch makes threads, so that only the source below sees it.
    signal(SIGTERM, SIG_IGN)
    let stop = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
    let stopped = AsyncStream { continuation in
        stop.setEventHandler { @Sendable in continuation.yield() }
        stop.resume()
    }
    Task {
        do {
            guard let engine = try await Engine.start(options.engine) else { exit(0) }
            for await _ in stopped { break }
            exit(await engine.stop() ? 0 : 75)
        } catch {
            exit(code: 71, saying: "the engine cannot start: \(error)")
        }
    }
    dispatchMain()
}

/// Each live session holds a few descriptors: as many are allowed as the container allows at all.
private func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
        StandardStream.error.writeLine("squalld: the limit of open files stays as it was: \(Errno.current)")
    }
}

func exit(code: Int32, saying message: String) -> Never {
    if code == 0 {
        StandardStream.output.writeLine(message)
    } else {
        StandardStream.error.writeLine("squalld: \(message)")
    }
    exit(code)
}
