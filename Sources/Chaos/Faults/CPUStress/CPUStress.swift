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
        CPU of the target gets as many threads as every other, each thread stays on its own. On the whole host all \
        sessions together have at most one thread for each CPU, so that everybody else, whoever logs in too, has a \
        fair share of it.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = [.workers]
    package static let canHitHost = true
    package static let parameters = [
        Parameter(
            "load", .percentage(1...100), standard: 80, meaning: "how much CPU time to burn, as a share of the base"),
        Parameter(
            "base", .choice(Base.allCases.map(\.rawValue)), standard: .string(Base.cores.rawValue),
            meaning:
                "what load is a share of: cores, one CPU for each worker, so that their loads add up; quota, all CPU "
                + "time that the tightest quota gives the target, or its CPUs where there is none; node, all CPUs of the "
                + "node; of quota and node the workers share the load"),
        Parameter(
            "workers", .integer(0...mostWorkers), standard: 0,
            meaning: "worker threads; 0 is one for each CPU that the target may run on"),
        Parameter(
            "ramp", .duration(.zero...(.seconds(7200))), standard: "0s",
            meaning: "how long the load takes to rise from nothing, evenly; a part of the session's duration"),
    ]
    package static let examples = [
        FaultExample("half of one CPU", ["load": 50, "workers": 1]),
        FaultExample("every CPU of the target, fully", ["load": 100]),
        FaultExample("most of the target's quota, reached slowly", ["load": 80, "base": "quota", "ramp": "5s"]),
    ]

    private enum Base: String, CaseIterable {
        case cores
        case quota
        case node
    }

    private static let mostWorkers: Int64 = 1024
    private let load: Percentage
    private let base: Base
    private let workers: Int
    private let ramp: Duration

    package init(_ values: ParameterValues) throws(Problem) {
        load = values.percentage("load")
        base = Base(rawValue: values.text("base")) ?? .cores
        workers = Int(values.integer("workers"))
        ramp = values.duration("ramp")
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
            + (ramp > .zero ? ", reached within \(ramp.text)" : "")
    }

    package func reach(on target: TargetObservation) -> Reach { target.facts.isHost ? .node : reach }

    /// One for each CPU may be any number.
    package var implied: [JSON.Member] {
        workers == 0 ? [JSON.Member("workers", .integer(Self.mostWorkers))] : []
    }

    /// - Throws: `field-invalid` for more than the target can run at once.
    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        let threads = workers == 0 ? target.cpuCount : workers
        if target.facts.isHost, threads > target.cpuCount {
            throw Problem(
                .fieldInvalid,
                "\(threads) threads on \(Self.cpus(Double(target.cpuCount))) would leave the rest of the host too little",
                field: "parameters.workers", hint: "at most \(target.cpuCount) on the whole host")
        }
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
                "\(load) of \(Self.cpus(whole)) are \(Self.cpus(all)), and \(threads) thread\(threads == 1 ? "" : "s") on "
                    + "the target's \(Self.cpus(Double(target.cpuCount))) can burn \(min(threads, target.cpuCount))",
                field: "parameters.load",
                hint: "ask for less" + (threads < target.cpuCount ? ", or for more workers" : ""))
        }
        return [
            .runWorker(
                .cpu(
                    load: base == .cores ? load.value : all / Double(threads) * 100, threads: threads,
                    rampNanoseconds: Int64(ramp / .nanoseconds(1))))
        ]
    }

    private static func cpus(_ count: Double) -> String {
        let hundredths = (count * 100).rounded() / 100
        let text = hundredths == hundredths.rounded() ? "\(Int(hundredths))" : "\(hundredths)"
        return "\(text) CPU\(hundredths == 1 ? "" : "s")"
    }
}
