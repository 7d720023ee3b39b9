package import ChaosModel
package import Steps

/// Gives the target less CPU time.
package struct CPUThrottle: Fault {
    package static let kind = "cpu-throttle"
    package static let summary = "gives the target less CPU time"
    package static let explanation = """
        The quota of the target's cgroup is lowered to a share of what it may use: of its quota, or of one above it, or, \
        where there is none, of all CPUs that it may run on; a target that uses less than that feels nothing. Nothing runs \
        for it: the kernel lets the processes wait for the rest of each period, mostly 100 ms, when they have used up \
        their time. That is true of all in the cgroup, health probes that run there and workers of other sessions too. Of \
        several such sessions the lowest limit applies. A limit that somebody else changes meanwhile, as kubelet does when \
        a pod is resized, is left alone.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = []
    package static let parameters = [
        Parameter(
            "percent", .percentage(1...99), isRequired: true,
            meaning: "share of its CPU time that the target may still use; a millisecond of each period at the least")
    ]
    package static let examples = [FaultExample("a tenth of what it has", ["percent": 10])]

    private let percent: Percentage

    package init(_ values: ParameterValues) throws(Problem) {
        percent = values.percentage("percent")
    }

    package var summary: String { "leave the target \(percent) of its CPU time" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] { [.lowerLimit(.cpu(percent))] }
}
