package import ChaosModel

/// Who may do what on this node, as its operator has written it down.
///
/// Nothing is allowed that is not said: a tenant that the policy does not name may do nothing, and a node without a
/// policy takes no request.
package struct Policy: Hashable, Sendable {
    package let guardrails: Guardrails
    package let tenants: [Tenant: Grant]

    /// - Throws: `identity-mismatch` when no certificate of the tenant's was shown.
    package func recognize(
        _ request: VerifiedRequest, by identities: [PeerIdentity]?
    ) throws(Problem) -> VerifiedRequest {
        guard let identities else { return request }
        let own = tenants[request.tenant]?.tlsIdentities ?? []
        guard let identity = identities.first(where: own.contains) else {
            let shown = identities.isEmpty ? "of nobody" : identities.map(\.text).joined(separator: ", ").cut(to: 256)
            throw Problem(
                .identityMismatch, "the client's certificate (\(shown)) is not tenant \(request.tenant)'s",
                hint: "the node's policy names the tenant's certificates: tlsIdentities")
        }
        var recognized = request
        recognized.identity = identity
        return recognized
    }

    package init(guardrails: Guardrails = Guardrails(), tenants: [Tenant: Grant] = [:]) {
        self.guardrails = guardrails
        self.tenants = tenants
    }

    /// - Parameter isOfHost: Its target is the whole host, and nothing else.
    /// - Returns: Whether somebody may use a fault.
    package func allows(_ fault: String, isOfHost: Bool) -> Bool {
        tenants.values.contains { grant in
            grant.allows(fault) && (!isOfHost || min(guardrails.host, grant.host) == .whole)
        }
    }

    /// The same, with one more namespace that is never hit.
    package func protecting(_ namespace: NamePattern?) -> Policy {
        var guardrails = guardrails
        if let namespace { guardrails.protectedNamespaces.append(namespace) }
        return Policy(guardrails: guardrails, tenants: tenants)
    }
}

/// What no tenant's grant can lift.
package struct Guardrails: Hashable, Sendable {
    /// On a pod, by whoever owns it: that faults may hit it.
    package static let optInAnnotation = (name: "squall.dev/chaos", value: "allowed")

    package static let standardProtectedUnits = [
        "systemd-*", "user@*", "session-*", "init.scope", "dbus*", "ssh*", "squalld.service",
        // The network.
        "networking.service", "network.service", "NetworkManager*", "cloud-init*", "dhcpcd*", "ifup@*",
        "wpa_supplicant*", "iwd.service", "connman*", "wickedd*", "openvswitch-*", "ovs*", "frr.service",
        "keepalived*", "dropbear*", "wg-quick@*", "openvpn*", "strongswan*", "tailscaled*", "zerotier-one*",
        "netbird*", "nebula*", "cloudflared*", "teleport*",
        // Who may log in, and by a console or the cloud's own way in.
        "sssd*", "nscd*", "nslcd*", "winbind*", "auditd.service", "getty@*", "serial-getty@*", "amazon-ssm-agent*",
        "snap.amazon-ssm-agent*", "google-guest-agent*", "walinuxagent*", "qemu-guest-agent*",
        // Disks that may be the root's, and who resets a host that does not answer.
        "iscsid*", "multipathd*", "watchdog*", "wd_keepalive*", "sbd*", "corosync*", "pacemaker*",
        "containerd.service", "docker.service", "snap.docker.*", "podman*", "cri-docker*", "crio.service",
        "kubelet.service", "k3s*", "k0s*", "rke2-*", "snap.microk8s.*",
    ]

    /// Pods in these are never hit. The agent's own is one of them, whatever the policy says.
    package var protectedNamespaces = [NamePattern("kube-system")].compactMap(\.self)
    /// Units of systemd that are never hit: without them nobody reaches the node, or its containers.
    package var protectedUnits = standardProtectedUnits.compactMap(NamePattern.init(unit:))
    /// Whether a pod is hit only when its annotation says so.
    package var requiresOptIn = true
    /// Whether pods on the node's own network may be hit.
    package var allowsHostNetwork = false
    /// How much of the node itself may be hit.
    package var host = HostAccess.none
    /// Whether anybody may restart the host, or switch it off.
    package var allowsPower = false
    package var longestDuration = InjectionRequest.durations.upperBound
    package var abortLine = AbortLine()
    /// Sessions at once, of all tenants; nil for no bound but the agent's own.
    package var sessions: Int?

    package init() {}
}

/// How much of the node itself may be hit, beside its containers. Each includes those before it.
package enum HostAccess: Int, Comparable, CaseIterable, Sendable {
    case none
    /// Any unit, and containers, processes and cgroups that are no pod's.
    case parts
    /// All of it at once.
    case whole

    /// As the policy has it.
    package var word: String {
        switch self {
        case .none: "refused"
        case .parts: "allowed"
        case .whole: "whole"
        }
    }

    package static func < (one: HostAccess, other: HostAccess) -> Bool { one.rawValue < other.rawValue }
}

/// What one tenant may do.
package struct Grant: Hashable, Sendable {
    /// Its pods are in these.
    package var namespaces: [NamePattern] = []
    /// Certificates with one of these may carry its tokens over TLS.
    package var tlsIdentities: [PeerIdentity] = []
    package var faults: [NamePattern] = []
    /// Units of systemd that are its own.
    package var units: [NamePattern] = []
    /// Names of its containers that are no pod's.
    package var containerNames: [NamePattern] = []
    /// How much of the node itself it may name.
    package var host = HostAccess.none
    package var longestDuration: Duration?
    /// Requests a second, ten times as many at once.
    package var requestsPerSecond = 100
    /// Sessions at once.
    package var sessions: Int?
    package var sessionsPerTarget: Int?
    /// The share of the containers that run on this node that it may hit at once, in percent; one it may always hit.
    package var containerShare: Percentage?
    /// By fault and parameter.
    package var intensities: [String: [String: Bounds]] = [:]

    package init() {}

    package func allows(_ fault: String) -> Bool { faults.match(fault) }

    /// What a parameter may be: at the least and at the most, in the parameter's own unit, or one of some words, or in
    /// some networks.
    package struct Bounds: Hashable, Sendable {
        package var least: Double?
        package var most: Double?
        package var words: [String]?
        package var networks: [IPNetwork]?
        /// As the operator has written them.
        let text: String
    }
}
