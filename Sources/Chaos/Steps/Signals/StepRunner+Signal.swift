import Cgroups
import ChaosModel
import Glibc
import LinuxSystem
import Targets

extension StepRunner {
    func prepareSignal(_ order: SignalOrder, on target: ResolvedTarget) throws(Problem) -> Intent {
        try refuseIfItHoldsInit(target)
        try refuseToSignalFrozen(target)
        let found: [String]
        do {
            found = try processes(of: target).map(\.name)
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if found.isEmpty {
            throw Problem(
                .targetRefused, "the cgroup has no process of its own", field: "target",
                hint: "name a container, or one of the cgroups below")
        }
        if let names = order.names, let missing = names.first(where: { !found.contains($0) }) {
            throw Problem(
                .fieldInvalid, "the target has no process called \(missing)", field: "parameters.names",
                hint: "it has \(Set(found).sorted().prefix(16).joined(separator: ", "))")
        }
        return .signalProcesses(order, in: target.facts.cgroup)
    }

    /// Each is held, and looked at, on the one thread that changes anything.
    private static let mostProcesses = 4096

    /// What is done to the node's first process is done to the node.
    func refuseIfItHoldsInit(_ target: ResolvedTarget) throws(Problem) {
        let processes: [Int32]
        do throws(CgroupFileError) {
            processes = try target.cgroup.processes()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if processes.contains(1) {
            throw Problem(
                .targetRefused, "the target's cgroup holds the node's first process", field: "target",
                hint: "choose another target")
        }
    }

    /// - Throws: When none of them was left to get it.
    func signal(_ order: SignalOrder, as key: WorkerKey, on target: ResolvedTarget) throws(StepError) {
        var count = 0
        signalled[key] = 0
        do throws(Problem) {
            try refuseIfItHoldsInit(target)
            try refuseToSignalFrozen(target)
        } catch {
            throw StepError(error.message)
        }
        do {
            for process in try processes(of: target) where order.names?.contains(process.name) ?? true {
                do throws(SystemCallError) {
                    try process.handle.send(signal: order.signal.number)
                    count += 1
                    signalled[key] = count
                } catch {
                    // Ended by itself meanwhile.
                    guard error.errno == .noProcess else { throw error }
                }
            }
        } catch {
            throw StepError("\(error)")
        }
        if count == 0 { throw StepError("no process of the target was left to be signalled") }
    }

    /// Those that are in the target's cgroup, each held, but for workers of ours.
    private func processes(of target: ResolvedTarget) throws -> [Held] {
        var held: [Held] = []
        let own = getpid()
        let all = try target.cgroup.processes()
        if all.count > Self.mostProcesses {
            throw StepError("the target has \(all.count) processes, and \(Self.mostProcesses) are the most")
        }
        for id in all {
            do throws(SystemCallError) {
                let handle = try ProcessHandle(openingProcess: id)
                let facts = try ProcessFacts(ofProcess: id)
                // A worker of ours, whatever it is called by now.
                if facts.parent != own { held.append(Held(handle, facts.command)) }
            } catch {
                guard [.noProcess, .noEntry].contains(error.errno) else { throw error }
            }
        }
        // A number may have been given to another process before that was held: then it is not in the cgroup.
        let present = Set(try target.cgroup.processes())
        return held.filter { present.contains($0.handle.id) && $0.handle.isRunning }
    }

    private final class Held {
        let handle: ProcessHandle
        let name: String

        init(_ handle: consuming ProcessHandle, _ name: String) {
            self.handle = handle
            self.name = name
        }
    }
}
