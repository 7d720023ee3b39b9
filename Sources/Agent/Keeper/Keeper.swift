import Glibc
package import LinuxSystem
import Namespaces
import Processes

/// The agent's first process. It does little, so that it lives: it holds what must outlast an engine (sockets, the
/// journal's lock), starts the other programs, and starts them again when they die.
///
/// One thread, no Dispatch: children die with the thread that made them, and this one never ends before the process.
package final class Keeper {
    /// How the runtimes process says that its user is not let in.
    private static let shutOut: Int32 = 77

    private let configuration: KeeperConfiguration
    private var children: [Child]
    private let lock: OwnedDescriptor
    private let apiSocket: ListeningSocket
    private let engineSocket: ListeningSocket
    private let runtimesSocket: ListeningSocket
    /// Descriptors of the sockets on the network; open as long as the keeper lives.
    private let tlsSocket: Int32?
    private let probeSocket: Int32?
    private let programs: [Child.Role: Executable]
    private var signals = sigset_t()
    private var isStopping = false
    /// The engine has taken everything back and ended.
    private var engineIsDone = false
    private var dockerAccess = DockerAccess.ownUser

    /// How the runtimes process is started, for the sockets of Docker and Podman.
    private enum DockerAccess {
        /// As its own user, which says if it is not let in.
        case ownUser
        /// The same, where the keeper has looked: no socket is in a folder that this user does not enter.
        case nothingHidden
        /// A socket is there that lets nobody else in.
        case root
    }

    /// After how long a socket is found that has come into a folder that only root enters.
    private static let hiddenSocketPause = Duration.seconds(10)

    /// Takes the node's lock (waiting for an earlier agent to be done), then the sockets.
    ///
    /// - Throws: The error of the call that failed.
    package init(_ configuration: KeeperConfiguration) throws(SystemCallError) {
        self.configuration = configuration
        // Before anything opens a cgroup's file or has a thread.
        try enterHostCgroupNamespace()
        try becomeSubreaper()
        let group = configuration.gatewayUser
        try makeDirectory(configuration.stateDirectory, mode: 0o700)
        lock = try AgentLock.take(in: configuration.stateDirectory)
        // Not earlier: an agent that waits for another may be ended by any signal.
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGCHLD] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        try makeDirectory(configuration.runDirectory, mode: 0o755)
        // The gateway passes through it to the engine's socket, whose own mode keeps everybody else out.
        try makeDirectory(configuration.privateDirectory, mode: 0o711)
        apiSocket = try ListeningSocket(at: configuration.apiSocket, mode: 0o666, group: group)
        engineSocket = try ListeningSocket(at: configuration.engineSocket, mode: 0o660, group: group)
        runtimesSocket = try ListeningSocket(at: configuration.runtimesSocket, mode: 0o600, group: group)
        tlsSocket = try Self.listen(at: configuration.tlsAddress)
        probeSocket = try Self.listen(at: configuration.probeAddress)
        programs = [
            .engine: try Executable(opening: "/proc/self/exe"),
            .gateway: try Executable(opening: "\(configuration.programDirectory)/squall-gateway"),
            .runtimes: try Executable(opening: "\(configuration.programDirectory)/squall-runtimes"),
        ]
        children = Child.Role.allCases.map(Child.init)
    }

    private static func listen(at address: InternetAddress?) throws(SystemCallError) -> Int32? {
        guard let address else { return nil }
        return try OwnedDescriptor.listening(at: address).release()
    }

    /// Keeps the programs running until the agent is told to stop and the engine has taken everything back.
    package func run() -> Int32 {
        ServiceManager.tell(.ready)
        while true {
            lookForHiddenSocket()
            startWhatIsDue()
            if isStopping, children.allSatisfy({ $0.process == nil }) { return 0 }
            letGoOfProgramPages()
            waitForSignal()
        }
    }

    // MARK: Starting

    private func startWhatIsDue() {
        for index in children.indices where isWanted(children[index]) && children[index].startAt <= .now {
            do {
                children[index].started(as: try start(children[index].role))
            } catch {
                say("cannot start the \(children[index].role.rawValue): \(error)", .error)
                children[index].failedToStart()
            }
        }
    }

    /// While the agent stops, only an engine that died before it was done is started again.
    private func isWanted(_ child: Child) -> Bool {
        child.process == nil && (!isStopping || (child.role == .engine && !engineIsDone))
    }

    private func start(_ role: Child.Role) throws(SpawnError) -> Int32 {
        guard let executable = programs[role] else { preconditionFailure("every role has its program") }
        var order: SpawnOrder
        switch role {
        case .engine:
            let arguments =
                ["squalld", "engine"] + configuration.engineArguments + (isStopping ? ["--recover-only"] : [])
            order = SpawnOrder(executable: executable, arguments: arguments)
            order.capabilities = configuration.engineCapabilities
            order.descriptors = [
                .init(source: engineSocket.descriptor.rawValue, target: 3),
                // An engine that outlives its keeper still holds the node.
                .init(source: lock.rawValue, target: 4),
            ]
        case .gateway:
            var arguments = ["squall-gateway", "--api-fd", "3", "--engine-socket", configuration.engineSocket]
            var descriptors = [SpawnOrder.Descriptor(source: apiSocket.descriptor.rawValue, target: 3)]
            if let tls = tlsSocket {
                arguments += ["--tls-fd", "4"]
                descriptors.append(.init(source: tls, target: 4))
            }
            if let probes = probeSocket {
                arguments += ["--probe-fd", "5"]
                descriptors.append(.init(source: probes, target: 5))
            }
            order = SpawnOrder(executable: executable, arguments: arguments)
            order.user = .init(user: configuration.gatewayUser, group: configuration.gatewayUser)
            order.descriptors = descriptors
        case .runtimes:
            order = SpawnOrder(
                executable: executable,
                arguments: ["squall-runtimes", "--socket-fd", "3"]
                    + configuration.runtimeSockets.flatMap { ["--runtime-socket", $0] })
            var user = configuration.gatewayUser + 1
            switch dockerAccess {
            case .ownUser: break
            case .nothingHidden: order.arguments.append("--nothing-hidden")
            case .root: user = 0
            }
            // Runtimes let root's group in; nothing else of root's is open to this user. Root itself has no capability here.
            order.user = .init(user: user, group: 0)
            order.descriptors = [.init(source: runtimesSocket.descriptor.rawValue, target: 3)]
        }
        order.arguments += ["--log-format", configuration.logFormat.rawValue]
        order.descriptors.append(.init(source: 2, target: 2))
        order.environment = ["SWIFT_BACKTRACE=enable=no"]
        order.signalAtParentDeath = SIGTERM
        return try spawn(order).id
    }

    // MARK: The runtimes process' user

    /// Only the keeper sees whether a socket is behind a folder that nobody else enters, as Podman's is: without one there
    /// is nothing to be root for.
    ///
    /// The corresponding system call is `stat(2)`.
    private var isDockerThere: Bool {
        configuration.dockerSockets.contains { path in
            var status = stat()
            return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
        }
    }

    private func runtimesEnded(_ exit: ProcessExit) {
        if exit == .exited(Self.shutOut) {
            dockerAccess = isDockerThere ? .root : .nothingHidden
        } else if dockerAccess == .root, !isDockerThere {
            dockerAccess = .ownUser
        }
    }

    /// The process is started anew, and then says whether it is let in.
    private func lookForHiddenSocket() {
        guard dockerAccess == .nothingHidden, !isStopping, isDockerThere else { return }
        dockerAccess = .ownUser
        if let process = children.first(where: { $0.role == .runtimes })?.process { kill(process, SIGTERM) }
    }

    // MARK: Waiting

    private func waitForSignal() {
        var pause = dockerAccess == .nothingHidden ? Self.hiddenSocketPause : .seconds(3600)
        if let next = children.filter(isWanted).map(\.startAt).min() { pause = min(pause, max(.zero, next - .now)) }
        let nanoseconds = pause.wholeNanoseconds
        var timeout = timespec(
            tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        switch sigtimedwait(&signals, nil, &timeout) {
        case SIGTERM, SIGINT: stop()
        default: reap()
        }
    }

    private func reap() {
        let reaped: [ReapedChild]
        do {
            reaped = try reapEndedChildren()
        } catch {
            return say("\(error)", .error)
        }
        for ended in reaped {
            guard let index = children.firstIndex(where: { $0.process == ended.id }) else { continue }
            let role = children[index].role
            children[index].ended()
            if role == .runtimes { runtimesEnded(ended.exit) }
            if isStopping {
                if role == .engine, ended.exit == .exited(0) { engineStopped() }
            } else {
                say("the \(role.rawValue) ended (\(ended.exit.words)) and is started again")
            }
        }
    }

    // MARK: Stopping

    /// The engine first: the others serve it until it has reverted everything.
    private func stop() {
        isStopping = true
        if let engine = children.first(where: { $0.role == .engine })?.process { kill(engine, SIGTERM) }
        ServiceManager.tell(.stopping)
    }

    private func engineStopped() {
        engineIsDone = true
        for child in children {
            // A child that has not been waited for keeps its number.
            if child.role != .engine, let process = child.process { kill(process, SIGTERM) }
        }
    }
}

/// A line for whoever reads the container's log.
func say(_ message: String, _ level: LogLevel = .warning) {
    AgentLog.write("keeper: \(message)", level)
}
