package import ChaosModel
package import Steps

/// Sends a signal to processes of the target.
package struct ProcessSignal: Fault {
    package static let kind = "process-signal"
    package static let summary = "sends a signal to processes of the target"
    package static let explanation = """
        All processes of the target's cgroup get it once, or those with one of the names; not those of cgroups below, \
        and not workers of other sessions. What they do with it cannot be taken back: a process that was killed stays \
        dead, unless something starts it again, and one that was stopped stays so, unless it gets `CONT` (to stop \
        processes for a while there is `container-pause`). The first process of a container ignores what it has no handler \
        for, but `KILL` and `STOP`; when it ends, so does the container, and the session. A cgroup that holds the node's own \
        first process, or more than 4096 processes, is refused. With `onRestart=reinject` the \
        container that takes its place gets the signal too, again and again.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = []
    package static let isReversible = false
    package static let parameters = [
        Parameter(
            "signal", .choice(SignalOrder.Signal.allCases.map(\.rawValue)), standard: .string("TERM"),
            meaning: "which signal"),
        Parameter(
            "names", .names(most: 16),
            meaning:
                "only processes with one of these names, as the kernel has them: 15 characters of the program's; all "
                + "unless told"),
    ]
    package static let examples = [FaultExample("let everybody go on who was stopped", ["signal": "CONT"])]

    private let order: SignalOrder

    package init(_ values: ParameterValues) throws(Problem) {
        let signal = SignalOrder.Signal(rawValue: values.text("signal")) ?? .terminate
        order = SignalOrder(signal, names: values.optionalNames("names"))
    }

    package var summary: String { order.summary }

    package func notes(on target: TargetObservation) -> [String] { ["this cannot be taken back"] }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] { [.signalProcesses(order)] }
}
