package import ChaosModel
package import Steps
import WorkerProtocol

/// Burns CPU time in the target's cgroup.
package struct CPUStress: Fault {
    package static let kind = "cpu-stress"
    package static let summary = "burns CPU time in the target's cgroup"
    package static let explanation = """
        A process of the agent's own, without capabilities, runs in the target's cgroup and keeps CPUs busy, so that \
        it competes with the target for the same quota, weight and CPU set. Each of its threads aims at the load \
        asked, measured by the CPU time that it really got; a quota that is smaller than the sum throttles both.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = [.workers]
    package static let parameters = [
        Parameter(
            "load", .percentage(1...100), standard: 80, meaning: "share of one CPU that each worker thread burns"),
        Parameter(
            "workers", .integer(0...1024), standard: 0,
            meaning: "worker threads; 0 is one for each CPU that the target may run on"),
    ]
    package static let examples = [
        FaultExample("half of one CPU", ["load": 50, "workers": 1]),
        FaultExample("every CPU of the target, fully", ["load": 100]),
    ]

    private let load: Percentage
    private let workers: Int

    package init(_ values: ParameterValues) throws(Problem) {
        load = values.percentage("load")
        workers = Int(values.integer("workers"))
    }

    package var summary: String {
        let threads =
            workers == 0 ? "one thread for each of the target's CPUs" : "\(workers) thread\(workers == 1 ? "" : "s")"
        return "burn \(load) of a CPU with \(threads) in the target's cgroup"
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        [.runWorker(.cpu(load: load.value, threads: workers == 0 ? target.cpuCount : workers))]
    }
}
