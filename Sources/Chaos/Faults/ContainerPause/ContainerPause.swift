package import ChaosModel
package import Steps

/// Stops the target's processes where they are.
package struct ContainerPause: Fault {
    package static let kind = "container-pause"
    package static let summary = "stops all processes of the target where they are"
    package static let explanation = """
        The target's cgroup is frozen, as `docker pause` does it: its processes get no CPU time, keep their memory, files \
        and connections, and answer nobody, which is what a hung program looks like. Whoever watches may act: a failing \
        liveness probe has the container restarted, and a probe or command that runs inside of it hangs. The runtime is not \
        told, and shows the container as running. When the session ends they go on as if no time had passed. Meanwhile \
        nothing can be started in its cgroup, and workers of sessions that began before stand still too; on cgroup v1 \
        nothing in it can be killed either, so that such a session, if it ends, is `stuck` until the pause is over. A unit of \
        systemd is frozen as by `systemctl freeze`: systemd refuses to start, stop or restart it meanwhile, where it would \
        hang else; one with a watchdog is refused. A cgroup that holds the node's own first process is refused.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = []
    package static let parameters: [Parameter] = []
    package static let examples = [FaultExample("a hang", [:])]

    package init(_ values: ParameterValues) throws(Problem) {}

    package var summary: String { "stop all processes of the target" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] { [.lowerLimit(.freezer)] }
}
