package import ChaosModel
package import Steps

/// Has systemd restart a service.
package struct ServiceRestart: Fault {
    package static let kind = "service-restart"
    package static let summary = "has systemd restart the target, a service"
    package static let explanation = """
        systemd is told to restart the service, as `systemctl restart` does it. It cannot be taken back. The session ends as \
        `completed` when systemd says that the service is active again, and tells how long it was not; and as `fault-ended`, \
        with systemd's reason, when it could not be started, or was not active by the end of the session: give that more \
        time than the service takes. What depends on the service systemd restarts with it: a plan names what of it is \
        active, and the policy has to allow each. Other sessions on the service end with its processes, as `target-gone`, or \
        go on with the new ones, as they were told. Refused is a service that may not be stopped or started by hand, that is \
        not active, or that is frozen; and any by an agent in a container, which has no way to systemd. To have its \
        processes killed, and see whether systemd starts it again, there is `process-signal` with `KILL`.
        """
    package static let reach = Reach.service
    package static let needs: [NodeFeature] = []
    package static let isReversible = false
    package static let parameters: [Parameter] = []
    package static let examples = [FaultExample("a restart", [:])]

    package init(_ values: ParameterValues) throws(Problem) {}

    package var summary: String { "restart the target" }

    package func notes(on target: TargetObservation) -> [String] { ["this cannot be taken back"] }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        [.restartService(try target.service())]
    }
}
