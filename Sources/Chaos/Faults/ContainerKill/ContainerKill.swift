package import ChaosModel
package import Steps

/// Has the container runtime stop the target.
package struct ContainerKill: Fault {
    package static let kind = "container-kill"
    package static let summary = "has the container runtime stop the target"
    package static let explanation = """
        The runtime is told to stop the container, as `crictl stop` does it: with `gracePeriod` its own stop signal first, \
        mostly SIGTERM, and SIGKILL to what is left when that time is over; without it SIGKILL at once. Other containers of \
        the pod are not touched. It cannot be taken back: whether the container is started again, and when, is kubelet's \
        affair and the pod's `restartPolicy`, and a container that ends again and again is started ever more rarely. The \
        session ends with the container, as `completed`, and says how long that took and with which exit code. A session \
        that ends earlier takes the order back: the stop signal has been sent by then, but SIGKILL is not sent any more, \
        as containerd has it; another runtime may go on. With `onRestart=reinject` the container that takes its place is \
        stopped too, at the earliest two seconds after the one before has ended, and so on until the session ends: a kill \
        again and again, at the pace at which kubelet restarts. A container that is no pod's is stopped as `docker stop` and \
        `docker kill` do it, which Docker and Podman take for good: it is not started again by its restart policy, as after \
        a `process-signal` with `KILL` it is, but by whoever starts it. Only a target that is named by its container's identifier \
        has a runtime; the agent's own container is refused, and so is the 33rd to be stopped at once.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = []
    package static let isReversible = false
    package static let parameters = [
        Parameter(
            "gracePeriod", .duration(.zero...(.seconds(300))), standard: "0s",
            meaning:
                "how long its own stop signal is given before SIGKILL, in whole seconds, and shorter than the session; "
                + "killed at once unless told")
    ]
    package static let examples = [
        FaultExample("at once", [:]),
        FaultExample("with time to end by itself", ["gracePeriod": "25s"]),
    ]

    private let grace: Duration

    package init(_ values: ParameterValues) throws(Problem) {
        grace = values.duration("gracePeriod")
        if grace.components.attoseconds != 0 {
            throw Problem(
                .fieldInvalid, "a container runtime counts in whole seconds, and cannot give \(grace.text)",
                field: "parameters.gracePeriod", hint: "0s kills at once")
        }
    }

    package func refuseTooShort(_ duration: Duration) throws(Problem) {
        if grace >= duration {
            throw Problem(
                .fieldInvalid,
                "a session of \(duration.text) is over before SIGKILL would be sent, after \(grace.text)",
                field: "parameters.gracePeriod", hint: "give the session more time, or the container less")
        }
    }

    package var summary: String {
        grace == .zero ? "kill the target" : "stop the target, and kill it after \(grace.text)"
    }

    package func notes(on target: TargetObservation) -> [String] {
        let isStandalone = target.facts.container?.isStandalone ?? false
        return ["this cannot be taken back"]
            + (isStandalone ? ["Docker and Podman do not start it again by themselves"] : [])
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        guard let container = target.facts.container else {
            throw Problem(
                .targetRefused, "the target was not named as a container, so no runtime is known to have started it",
                field: "target", hint: "name the container by its identifier")
        }
        return [.stopContainer(ContainerStop(of: container.id, graceSeconds: grace.components.seconds))]
    }
}
