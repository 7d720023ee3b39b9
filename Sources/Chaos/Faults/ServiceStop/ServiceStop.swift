package import ChaosModel
package import Steps

/// Has systemd stop a service, for as long as the session lasts.
package struct ServiceStop: Fault {
    package static let kind = "service-stop"
    package static let summary = "has systemd stop the target, a service, and start it again at the end"
    package static let explanation = """
        systemd is told to stop the service in order, as `systemctl stop` does it, and to start it again when the session is \
        over, however it ends. What depends on the service (`Requires=`, `BindsTo=`, `PartOf=` and the like in other units) \
        systemd stops with it; a plan names what of it is active, the policy has to allow each as it allows the service, and \
        it is started again too. The session goes on while the service is gone. It is in effect when the service has \
        stopped, or after five seconds while it still stops. When the session ends, systemd is asked to start what is \
        stopped, and the session is over when that is active; what cannot be started is told, and tried again (`stuck`). A \
        service that somebody else has started meanwhile, or masked, is left as it is (`drifted`). Other sessions on the \
        service end with its processes, as `target-gone`, or wait for it, as they were told. Refused is a service that \
        would not stay stopped, since a socket, timer or path unit that is active, or one that upholds it, starts it again; \
        that is transient (`systemd-run`) or could not be started again by hand; that is not active; one that is \
        frozen, which systemd does not stop; and any by an agent in a container, which has no way to systemd. After a reboot \
        systemd starts what is enabled, and nothing is left to be taken back. To have it die instead, and see what systemd \
        makes of that, there is `process-signal` with `KILL`; to have it hang, `container-pause`.
        """
    package static let reach = Reach.service
    package static let needs: [NodeFeature] = []
    package static let parameters: [Parameter] = []
    package static let examples = [FaultExample("an outage", [:])]

    package init(_ values: ParameterValues) throws(Problem) {}

    package var summary: String { "stop the target, and start it again" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        [.stopService(try target.service())]
    }
}
