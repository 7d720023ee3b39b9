package import Cgroups
package import ChaosModel
import Dispatch
import Glibc
package import LinuxSystem
package import Namespaces

/// What a container runtime knows of a container: whom to look for, never whom to trust.
package struct RunningContainer: Sendable {
    package let facts: TargetFacts.Container
    package let processID: Int32
    /// Of its pod.
    package let annotations: [String: String]

    package init(facts: TargetFacts.Container, processID: Int32, annotations: [String: String]) {
        self.facts = facts
        self.processID = processID
        self.annotations = annotations
    }
}

/// A container that was chosen among several, and is to be asked for.
package struct ChosenContainer: Sendable {
    package let id: String
    package let name: String

    package init(id: String, name: String) {
        self.id = id
        self.name = name
    }
}

/// Asks the node's container runtime. The call may block for seconds.
package protocol ContainerDirectory: Sendable {
    /// - Throws: `target-not-found`, `target-gone`, `runtime-unavailable`.
    func container(_ id: String) throws(Problem) -> RunningContainer

    /// The running container that is no pod's and is called so.
    ///
    /// - Throws: What `container(_:)` does, and `target-ambiguous`.
    func container(named name: ContainerName) throws(Problem) -> RunningContainer

    /// The one running container that is meant.
    ///
    /// - Throws: `target-not-found`, `target-gone`, `target-ambiguous`, `target-unresolvable`, `runtime-unavailable`.
    func container(of pod: PodSelector) throws(Problem) -> RunningContainer

    /// One running container of each pod that is chosen, and how many there were to choose from.
    ///
    /// - Throws: What `container(of:)` does.
    func choice(of group: PodGroup, seed: Int64) throws(Problem) -> (chosen: [ChosenContainer], matched: Int)

    /// One that was chosen.
    ///
    /// - Throws: What `container(of:)` does.
    func container(_ chosen: ChosenContainer, of group: PodGroup) throws(Problem) -> RunningContainer

    /// The running container of the same name in the same pod, if it is another one; of no pod's the one that is called so,
    /// which may be the same, started again.
    ///
    /// - Throws: `runtime-unavailable`.
    func successor(of container: TargetFacts.Container) throws(Problem) -> Successor<RunningContainer>

    /// How many containers run on this node.
    ///
    /// - Throws: `runtime-unavailable`.
    func count() throws(Problem) -> Int
}

/// Finds targets on this node.
package final class TargetResolver: TargetDirectory {
    private let containers: any ContainerDirectory
    let cgroups: CgroupTree
    private let thread: NamespaceThread
    private let hostNetwork: UInt64
    private let ownCgroup: String?
    /// The runtime is asked here, so that a hung one holds up nothing but these questions.
    private let questions = DispatchQueue(label: "squall.runtimes", target: .global())

    /// - Throws: When process 1's network namespace cannot be seen, without which the node itself is unprotected.
    package init(
        containers: any ContainerDirectory, cgroups: CgroupTree, thread: NamespaceThread
    ) throws(SystemCallError) {
        self.containers = containers
        self.cgroups = cgroups
        self.thread = thread
        hostNetwork = try NamespaceHandle(.network, ofProcess: 1).inode
        ownCgroup = (try? cgroups.cgroup(ofProcess: getpid()))?.path
    }

    package func resolve(_ selector: TargetSelector) async throws(Problem) -> ResolvedTarget {
        switch selector {
        case .container(let id):
            let container = try await ask { containers throws(Problem) in try containers.container(id) }
            return try process(container.processID, startTime: nil, of: container)
        case .containerNamed(let name):
            let container = try await ask { containers throws(Problem) in try containers.container(named: name) }
            return try process(container.processID, startTime: nil, of: container)
        case .pod(let pod):
            let container = try await ask { containers throws(Problem) in try containers.container(of: pod) }
            return try process(container.processID, startTime: nil, of: container)
        case .process(let id, let startTime):
            return try process(id, startTime: startTime, of: nil)
        case .processNamed(let name):
            return try process(called: name)
        case .cgroup(let path):
            return try cgroup(path)
        case .unit(let name):
            return try unit(name)
        case .host:
            return try host()
        }
    }

    package func resolve(_ group: PodGroup, before deadline: BootInstant) async throws(Problem) -> ChosenTargets {
        let seed = group.seed ?? Int64.random(in: PodGroup.seeds)
        let (chosen, matched) = try await ask { containers throws(Problem) in
            try containers.choice(of: group, seed: seed)
        }
        var targets: [ResolvedTarget] = []
        // One question after the other, so that others' are asked between them.
        for one in chosen {
            guard BootInstant.now < deadline else {
                throw Problem(
                    .runtimeUnavailable, "the container runtime took too long to tell of \(chosen.count) containers")
            }
            let container = try await ask { containers throws(Problem) in try containers.container(one, of: group) }
            targets.append(try process(container.processID, startTime: nil, of: container))
        }
        return ChosenTargets(targets, of: matched, seed: seed)
    }

    package func successor(of facts: TargetFacts) async throws(Problem) -> Successor<ResolvedTarget> {
        if let unit = facts.unit { return try successor(of: unit, facts) }
        guard let container = facts.container else { return .never }
        let found: RunningContainer
        switch try await ask({ containers throws(Problem) in try containers.successor(of: container) }) {
        case .found(let container): found = container
        case .notYet: return .notYet
        case .never: return .never
        }
        let target: ResolvedTarget
        do throws(Problem) {
            target = try process(found.processID, startTime: nil, of: found)
        } catch {
            // It has ended since the runtime looked.
            if error.code == .targetNotFound || error.code == .targetGone { return .notYet }
            throw error
        }
        // The runtime has not seen yet that it ended.
        if target.facts.process == facts.process { return .notYet }
        // The request named the old container, and the runtime alone names this one: the kernel has to say that it is in
        // the same pod, where the runtime puts its containers.
        guard Self.isBeside(target.facts, facts) else {
            throw Problem(
                .targetUnresolvable,
                "the container that the runtime names is in cgroup \(target.facts.cgroup.path), which is not beside the one before",
                field: "target.container")
        }
        return .found(target)
    }

    package func containerCount() async throws(Problem) -> Int {
        try await ask { containers throws(Problem) in try containers.count() }
    }

    /// Whether a container's cgroup differs from another's in nothing but their identifiers.
    private static func isBeside(_ facts: TargetFacts, _ other: TargetFacts) -> Bool {
        guard let id = facts.container?.id, let otherID = other.container?.id else { return false }
        let parts = other.cgroup.path.split(separator: "/")
        guard let index = parts.firstIndex(where: { other.container?.isNamed(in: $0) ?? false }) else { return false }
        let own = String(parts[index]).replacing(otherID, with: id)
        let expected = parts[..<index].map(String.init) + [own]
        return facts.cgroup.path.split(separator: "/").map(String.init).starts(with: expected)
    }

    private func ask<Value: Sendable>(
        _ question: @escaping @Sendable (any ContainerDirectory) throws(Problem) -> Value
    ) async throws(Problem) -> Value {
        let answer = await withCheckedContinuation { continuation in
            questions.async { [containers] in
                continuation.resume(returning: Result { () throws(Problem) in try question(containers) })
            }
        }
        return try answer.get()
    }

    // MARK: Processes

    /// - Parameters:
    ///   - unit: Where it was named as one.
    ///   - whole: The cgroup that is hit; the process' own unless told, which this one then holds.
    func process(
        _ id: Int32, startTime: UInt64?, of running: RunningContainer? = nil, ofUnit unit: UnitName? = nil,
        in whole: Cgroup? = nil
    ) throws(Problem) -> ResolvedTarget {
        let container = running?.facts
        let handle: ProcessHandle
        do {
            handle = try ProcessHandle(openingProcess: id)
        } catch {
            throw Self.refusal(error, gone: "there is no process \(id)")
        }
        let facts: ProcessFacts
        let network: NamespaceHandle
        do {
            facts = try ProcessFacts(ofProcess: id)
            network = try NamespaceHandle(.network, ofProcess: id)
        } catch {
            throw Self.refusal(error, gone: "process \(id) has ended")
        }
        if let startTime, startTime != facts.startTime {
            throw Problem(
                .targetGone,
                "process \(id) was started at \(facts.startTime), not at \(startTime): another took its number",
                field: "target.process.startTime")
        }
        let own = try open { () throws(CgroupOpeningError) in try cgroups.cgroup(ofProcess: id) }
        let cgroup = whole ?? own
        guard "\(own.path)/".hasPrefix("\(cgroup.path)/") else {
            throw Problem(.targetGone, "process \(id) is in cgroup \(own.path) by now", field: "target")
        }
        if let container, id == 1 || !cgroup.path.split(separator: "/").contains(where: container.isNamed) {
            // Whatever answered for the runtime does not decide what is hit.
            throw Problem(
                .targetUnresolvable,
                "process \(id), which the runtime names, is in cgroup \(cgroup.path) and not in the container's",
                field: "target.container")
        }
        let cookie = try cookie(of: network)
        // All that was read by number is this process's, if it still runs now.
        guard handle.isRunning else { throw Problem(.targetGone, "process \(id) has ended", field: "target") }
        let networkFacts = TargetFacts.NetworkNamespace(inode: network.inode, cookie: cookie)
        let isOnHostNetwork = network.inode == hostNetwork
        return ResolvedTarget(
            facts: TargetFacts(
                container: container, unit: unit, process: TargetFacts.Process(id: id, startTime: facts.startTime),
                network: networkFacts, cgroup: TargetFacts.Cgroup(path: cgroup.path, id: cgroup.id)),
            cgroup: cgroup, cpuCount: try cpuCount(of: cgroup), isOnHostNetwork: isOnHostNetwork,
            annotations: running?.annotations ?? [:], process: consume handle, network: consume network)
    }

    // MARK: Cgroups

    /// A cgroup has the network namespace that its processes agree on. Its processes come and go: the target is the
    /// cgroup, which no single one of them ends.
    private func cgroup(_ path: String) throws(Problem) -> ResolvedTarget {
        let cgroup = try open { () throws(CgroupOpeningError) in try cgroups.cgroup(at: path) }
        let network = try commonNetwork(of: cgroup)
        var networkFacts: TargetFacts.NetworkNamespace?
        var isOnHostNetwork = false
        switch network {
        case .some(let network):
            networkFacts = TargetFacts.NetworkNamespace(inode: network.inode, cookie: try cookie(of: network))
            isOnHostNetwork = network.inode == hostNetwork
        case .none: break
        }
        return ResolvedTarget(
            facts: TargetFacts(
                container: nil, process: nil, network: networkFacts,
                cgroup: TargetFacts.Cgroup(path: cgroup.path, id: cgroup.id)),
            cgroup: cgroup, cpuCount: try cpuCount(of: cgroup), isOnHostNetwork: isOnHostNetwork, process: nil,
            network: consume network)
    }

    /// Everything that runs on the node, its own network, and the files that its first process sees.
    private func host() throws(Problem) -> ResolvedTarget {
        let cgroup = try amongCgroups(cgroups.rootCgroup)
        let first: ProcessHandle
        do {
            first = try ProcessHandle(openingProcess: 1)
        } catch {
            throw Self.refusal(error, gone: "there is no process 1")
        }
        let startTime: UInt64
        let network: NamespaceHandle
        do {
            startTime = try ProcessFacts(ofProcess: 1).startTime
            network = try NamespaceHandle(.network, ofProcess: 1)
        } catch {
            throw Self.refusal(error, gone: "there is no process 1")
        }
        let facts = TargetFacts.NetworkNamespace(inode: network.inode, cookie: try cookie(of: network))
        return ResolvedTarget(
            facts: TargetFacts(
                container: nil, process: TargetFacts.Process(id: 1, startTime: startTime), network: facts,
                cgroup: TargetFacts.Cgroup(path: cgroup.path, id: cgroup.id)),
            cgroup: cgroup, cpuCount: try cpuCount(of: cgroup), isOnHostNetwork: true, process: consume first,
            network: consume network)
    }

    private func commonNetwork(of cgroup: Cgroup) throws(Problem) -> NamespaceHandle? {
        let processes: [Int32]
        do {
            processes = try cgroup.processes()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target.cgroup")
        }
        var common: NamespaceHandle?
        var commonInode: UInt64?
        for process in processes {
            let network: NamespaceHandle
            do {
                // A worker of ours is no part of the target, and in the agent's own namespace.
                if try ProcessFacts(ofProcess: process).parent == getpid() { continue }
                network = try NamespaceHandle(.network, ofProcess: process)
            } catch {
                // It ended since the cgroup was read.
                if error.errno == .noEntry || error.errno == .noProcess { continue }
                throw Self.refusal(error, gone: "")
            }
            if let commonInode, commonInode != network.inode {
                throw Problem(
                    .targetUnresolvable, "the processes of \(cgroup.path) are in several network namespaces",
                    field: "target.cgroup", hint: "name one of its processes or containers")
            }
            commonInode = network.inode
            common = consume network
        }
        return common
    }

    // MARK: What both need

    func open(_ body: () throws(CgroupOpeningError) -> Cgroup) throws(Problem) -> Cgroup {
        let cgroup = try amongCgroups(body)
        // Below the dead-man's cgroup there is nothing, above the agent's is the agent.
        if cgroup.path == "/squall-deadman" || ownCgroup.map({ "\($0)/".hasPrefix("\(cgroup.path)/") }) ?? false {
            throw Problem(.targetRefused, "the target is the agent itself, or holds it", field: "target")
        }
        return cgroup
    }

    func amongCgroups<Found>(_ body: () throws(CgroupOpeningError) -> Found) throws(Problem) -> Found {
        do throws(CgroupOpeningError) {
            return try body()
        } catch {
            switch error {
            case .system(let error): throw Self.refusal(error, gone: "there is no such cgroup")
            case .root, .malformed: throw Problem(.targetRefused, "\(error)", field: "target")
            case .noHierarchy, .outsideNamespace: throw Problem(.targetUnresolvable, "\(error)", field: "target")
            }
        }
    }

    private func cookie(of network: borrowing NamespaceHandle) throws(Problem) -> UInt64 {
        do {
            return try thread.cookie(ofNetworkNamespace: network)
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
    }

    private func cpuCount(of cgroup: Cgroup) throws(Problem) -> Int {
        do {
            return try cgroup.effectiveCPUCount()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
    }

    /// "Not there" and "could not ask" are different answers.
    private static func refusal(_ error: SystemCallError, gone: String) -> Problem {
        switch error.errno {
        case .noEntry, .noProcess, .noDevice: Problem(.targetNotFound, gone, field: "target")
        default: Problem(.targetUnresolvable, "the target could not be examined: \(error)", field: "target")
        }
    }
}
