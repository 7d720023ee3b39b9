package import ChaosModel
package import Steps
import WorkerProtocol

/// Burns CPU time in the target's cgroup.
package struct CPUStress: Fault {
    package static let kind = "cpu-stress"
    package static let summary = "burns CPU time in the target's cgroup"
    package static let explanation = """
        A process of the agent's own, without capabilities, runs in the target's cgroup and keeps CPUs busy, so that \
        it competes with the target for the same quota, weight and CPU set. Each of its threads aims at its share of the \
        load, measured by the CPU time that it really got; a quota that is smaller than the sum throttles both. Where each \
        CPU of the target gets as many threads as every other, each thread stays on its own.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = [.workers]
    package static let parameters = [
        Parameter("load", .percentage(1...100), standard: 80, meaning: "how much to burn, as a share of the base"),
        Parameter(
            "base", .choice(Base.allCases.map(\.rawValue)), standard: .string(Base.cores.rawValue),
            meaning:
                "what load is a share of: cores, one CPU for each worker; quota, the CPU time that the target's quota "
                + "gives it, or all CPUs that it may run on; node, all CPUs of the node"),
        Parameter(
            "workers", .integer(0...1024), standard: 0,
            meaning: "worker threads; 0 is one for each CPU that the target may run on"),
        Parameter(
            "climb", .duration(.zero...(.seconds(7200))), standard: "0s",
            meaning: "how long the load takes to rise from nothing, evenly"),
    ]
    package static let examples = [
        FaultExample("half of one CPU", ["load": 50, "workers": 1]),
        FaultExample("every CPU of the target, fully", ["load": 100]),
        FaultExample("most of the target's quota, reached slowly", ["load": 80, "base": "quota", "climb": "5s"]),
    ]

    private enum Base: String, CaseIterable {
        case cores
        case quota
        case node
    }

    private let load: Percentage
    private let base: Base
    private let workers: Int
    private let climb: Duration

    package init(_ values: ParameterValues) throws(Problem) {
        load = values.percentage("load")
        base = Base(rawValue: values.text("base")) ?? .cores
        workers = Int(values.integer("workers"))
        climb = values.duration("climb")
    }

    package var summary: String {
        let whole =
            switch base {
            case .cores: "a CPU"
            case .quota: "the target's CPU quota"
            case .node: "the node's CPUs"
            }
        let threads =
            workers == 0 ? "one thread for each of the target's CPUs" : "\(workers) thread\(workers == 1 ? "" : "s")"
        return "burn \(load) of \(whole) with \(threads) in the target's cgroup"
            + (climb > .zero ? ", reached within \(climb.text)" : "")
    }

    /// - Throws: `field-invalid` for more than the target can run at once.
    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        let threads = workers == 0 ? target.cpuCount : workers
        let whole =
            switch base {
            case .cores: Double(threads)
            case .quota: min(target.cpuQuota ?? .infinity, Double(target.cpuCount))
            case .node: Double(target.nodeCPUCount)
            }
        let all = whole * load.fraction
        if base != .cores, all > Double(min(threads, target.cpuCount)) {
            throw Problem(
                .fieldInvalid,
                "\(load) of \(whole) CPUs is more than \(threads) threads can burn on the "
                    + "\(target.cpuCount) CPUs that the target may run on",
                field: "parameters.load", hint: "ask for less, or for more workers")
        }
        return [
            .runWorker(
                .cpu(
                    load: base == .cores ? load.value : all / Double(threads) * 100, threads: threads,
                    climbNanoseconds: Int64(climb / .nanoseconds(1))))
        ]
    }
}
