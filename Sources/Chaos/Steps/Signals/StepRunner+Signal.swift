import Cgroups
import ChaosModel
import LinuxSystem
import Targets
import WorkerProtocol

extension StepRunner {
    func prepareSignal(_ order: SignalOrder, on target: ResolvedTarget) throws(Problem) -> Intent {
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

    /// - Throws: When none of them was left to get it.
    func signal(_ order: SignalOrder, as key: WorkerKey, on target: ResolvedTarget) throws(StepError) {
        var count = 0
        do {
            for process in try processes(of: target) where order.names?.contains(process.name) ?? true {
                do throws(SystemCallError) {
                    try process.handle.send(signal: order.signal.number)
                    count += 1
                } catch {
                    // Ended by itself meanwhile.
                    guard error.errno == .noProcess else { throw error }
                }
            }
        } catch {
            throw StepError("\(error)")
        }
        if count == 0 { throw StepError("no process of the target was left to be signalled") }
        signalled[key] = count
    }

    /// Those that are in the target's cgroup, each held, but for workers of ours.
    private func processes(of target: ResolvedTarget) throws -> [Held] {
        var held: [Held] = []
        for id in try target.cgroup.processes() {
            do throws(SystemCallError) {
                let handle = try ProcessHandle(openingProcess: id)
                held.append(Held(handle, try ProcessFacts(ofProcess: id).command))
            } catch {
                guard [.noProcess, .noEntry].contains(error.errno) else { throw error }
            }
        }
        // A number may have been given to another process before that was held: then it is not in the cgroup.
        let present = try target.cgroup.processes()
        return held.filter {
            present.contains($0.handle.id) && $0.handle.isRunning && $0.name != WorkerOrder.programName
        }
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
