import LinuxSystem
package import ChaosModel

/// What the kernel and the runtime say about a target, as far as a policy asks.
package struct TargetStanding: Hashable, Sendable {
    package let facts: TargetFacts
    /// Of the pod, as the runtime says.
    package let annotations: [String: String]
    package let isOnHostNetwork: Bool

    package init(facts: TargetFacts, annotations: [String: String], isOnHostNetwork: Bool) {
        self.facts = facts
        self.annotations = annotations
        self.isOnHostNetwork = isOnHostNetwork
    }
}

/// A session that is under way or about to be, as far as a policy counts it.
package struct CountedSession: Hashable, Sendable {
    let tenant: Tenant
    let target: TargetFacts?

    /// - Parameter target: Nil while it is looked for.
    package init(tenant: Tenant, target: TargetFacts?) {
        self.tenant = tenant
        self.target = target
    }
}

/// What a policy says to one tenant's requests.
package struct TenantGate: Sendable {
    private let tenant: Tenant
    private let guardrails: Guardrails
    private let grant: Grant

    fileprivate init(tenant: Tenant, guardrails: Guardrails, grant: Grant) {
        self.tenant = tenant
        self.guardrails = guardrails
        self.grant = grant
    }
}

extension Policy {
    /// - Throws: `tenant-unknown`.
    package func gate(for tenant: Tenant) throws(Problem) -> TenantGate {
        guard let grant = tenants[tenant] else {
            throw Problem(
                .tenantUnknown,
                tenants.isEmpty
                    ? "this node has no policy, and so allows nothing"
                    : "this node's policy allows tenant \(tenant) nothing",
                hint: "have the tenant added to the policy on this node")
        }
        return TenantGate(tenant: tenant, guardrails: guardrails, grant: grant)
    }
}

// MARK: - Before the target is looked for

extension TenantGate {
    /// - Parameters:
    ///   - parameters: Those in force, with the fault's own where the request is silent.
    ///   - known: The fault's.
    ///   - target: As what it is named.
    /// - Throws: `fault-denied`, `duration-denied`, `intensity-denied`, `target-protected`.
    package func authorize(
        fault: String, for duration: Duration, parameters: JSON, of known: [Parameter], on target: TargetClass
    ) throws(Problem) {
        guard grant.allows(fault) else {
            throw Problem(
                .faultDenied, "tenant \(tenant) may not use \(fault)", field: "fault",
                hint: "allowed: \(Self.words(grant.faults))")
        }
        let longest = min(grant.longestDuration ?? guardrails.longestDuration, guardrails.longestDuration)
        guard duration <= longest else {
            throw Problem(
                .durationDenied, "\"duration\" is \(duration.text)", field: "duration",
                hint: "at most \(longest.text) for tenant \(tenant)")
        }
        for (name, bounds) in grant.intensities[fault] ?? [:] {
            guard let parameter = known.first(where: { $0.name == name }), let value = parameters[name] else {
                continue
            }
            guard bounds.allow(value, of: parameter) else {
                throw Problem(
                    .intensityDenied, "\"\(name)\" is \(value.text)", field: "parameters.\(name)",
                    hint: "\(bounds.text) for tenant \(tenant)")
            }
        }
        // Before anything is looked at: who may not hit the node learns nothing of its processes.
        try admit(target)
        if case .unit = target, grant.host < .parts {
            try refusePaths(in: parameters, of: known)
        }
    }

    /// Before much is asked for it: a tenant that has enough takes no place from others.
    ///
    /// - Throws: `limit-exceeded`.
    package func refuseBeyondSessions(beside sessions: [CountedSession]) throws(Problem) {
        try refuse(sessions.count, beyond: guardrails.sessions, "this node")
        try refuse(sessions.count { $0.tenant == tenant }, beyond: grant.sessions, "tenant \(tenant)")
    }

    private func refuse(_ count: Int, beyond limit: Int?, _ what: String) throws(Problem) {
        guard let limit, count >= limit else { return }
        throw Problem(
            .limitExceeded, "\(what): \(count) sessions under way, at most \(limit)",
            hint: "wait until sessions have ended, or have the policy changed")
    }

    private static func words(_ patterns: [NamePattern]) -> String {
        patterns.isEmpty ? "none" : patterns.map(\.text).joined(separator: ", ")
    }
}

extension Grant.Bounds {
    func allow(_ value: JSON, of parameter: Parameter) -> Bool {
        if let words { return value.stringValue.map(words.contains) ?? false }
        if let networks {
            let address = value.stringValue.flatMap(InternetAddress.init(text:)).map(IPNetwork.init(of:))
            return address.map { address in networks.contains { $0.contains(address) } } ?? false
        }
        guard let magnitude = parameter.magnitude(of: value) else { return false }
        return magnitude >= least ?? -.infinity && magnitude <= most ?? .infinity
    }
}

// MARK: - When the target is known

extension TenantGate {
    /// A container's paths end at its root; a service's are mostly the host's, and files are made there as root. Which disk "/" lies
    /// on may be asked: nothing is made there.
    private func refusePaths(in parameters: JSON, of known: [Parameter]) throws(Problem) {
        for parameter in known {
            guard case .path = parameter.kind, let value = parameters[parameter.name] else { continue }
            guard value == "/", parameter.standard == "/" else {
                throw Problem(
                    .targetProtected, "a path of a service may be anywhere on the host",
                    field: "parameters.\(parameter.name)",
                    hint: "tenant \(tenant) needs \"host: allowed\" in the policy for files beside its units")
            }
        }
    }

    private func admit(_ target: TargetClass) throws(Problem) {
        switch target {
        case .container: return
        case .standalone(let name): try admit(standalone: name)
        case .unit(let name): try admit(unit: "\(name)")
        case .partOfHost:
            guard guardrails.host >= .parts, grant.host >= .parts else {
                throw Problem(
                    .targetProtected,
                    "tenant \(tenant) may hit containers\(grant.units.isEmpty ? "" : " and units") only",
                    field: "target",
                    hint: "name a container; processes and cgroups of the node need \"host: allowed\" in the policy")
            }
        case .host:
            guard mayHitWholeHost else {
                throw Problem(
                    .targetProtected, "tenant \(tenant) may not hit the whole host", field: "target",
                    hint: "that needs \"host: whole\" in the policy's guardrails and in the tenant's grant")
            }
        }
    }

    /// Whether it may hit everything on this host, whosever that is.
    package var mayHitWholeHost: Bool { guardrails.host == .whole && grant.host == .whole }

    /// A network namespace is hit with all who are in it: the tenant has to be one who may hit those as well.
    ///
    /// - Parameter strangers: Cgroups of processes in the target's network namespace that are no part of the target.
    /// - Throws: `target-protected`.
    package func admit(inNetworkWith strangers: [String]) throws(Problem) {
        if mayHitWholeHost { return }
        let mayHitParts = min(guardrails.host, grant.host) >= .parts
        let others = strangers.filter { !mayHitParts || Self.isOfPod($0) || mayBeProtected($0) }
        guard let first = others.first else { return }
        let more = others.count > 1 ? " and \(others.count - 1) more" : ""
        throw Problem(
            .targetProtected, "the target's network namespace is shared with cgroup \(first)\(more)", field: "target",
            hint: "all who are in it would be hit: give the target a network of its own, or have a policy by which the "
                + "tenant may hit them, too")
    }

    /// - Parameter name: Of a container that is no pod's.
    private func admit(standalone name: String) throws(Problem) {
        guard guardrails.host >= .parts, grant.host >= .parts || grant.containerNames.match(name) else {
            throw standaloneDenied
        }
    }

    /// It says no name: who asked by an identifier has not been told one.
    private var standaloneDenied: Problem {
        Problem(
            .targetProtected, "the container is none of tenant \(tenant)'s", field: "target",
            hint: "containers that are no pod's need \"host: allowed\" in the policy's guardrails; allowed: "
                + Self.words(grant.containerNames))
    }

    /// Before a container is asked for by its identifier, which may be a pod's and says nothing of whose it is.
    ///
    /// - Throws: `target-protected`, `namespace-denied`, where it can be none of the tenant's.
    package func admitIdentified() throws(Problem) {
        if !grant.namespaces.isEmpty { return }
        guard guardrails.host >= .parts else { throw namespaceDenied }
        guard grant.host >= .parts || !grant.containerNames.isEmpty else { throw standaloneDenied }
    }

    /// For what takes the host down.
    ///
    /// - Throws: `fault-denied`.
    package func admitPower() throws(Problem) {
        guard guardrails.allowsPower else {
            throw Problem(
                .faultDenied, "nobody may restart this host or switch it off", field: "fault",
                hint: "that needs \"power: allowed\" in the policy's guardrails, beside a grant of the fault")
        }
    }

    /// Whether a session that is not yet done with taking the host down could be begun by this policy, too.
    package func stillAllowsPower(by fault: String) -> Bool {
        do throws(Problem) {
            try admitPower()
            try authorize(fault: fault, for: .zero, parameters: [:], of: [], on: .host)
            return true
        } catch {
            return false
        }
    }

    /// - Parameter name: Of a unit of systemd, of whatever kind.
    /// - Throws: `target-protected`.
    package func admit(unit name: String) throws(Problem) {
        guard guardrails.host >= .parts, grant.host >= .parts || grant.units.match(name) else {
            throw Problem(
                .targetProtected, "unit \(name) is none of tenant \(tenant)'s", field: "target",
                hint: "units need \"host: allowed\" in the policy's guardrails; allowed: \(Self.words(grant.units))")
        }
        guard !guardrails.protectedUnits.match(name) else {
            throw Problem(
                .targetProtected, "unit \(name) is protected on this node", field: "target",
                hint: "nobody hits it, whatever a grant says: without it the node might not be reached any more")
        }
    }

    /// - Throws: `target-protected`, `namespace-denied`.
    package func admit(namespace: String) throws(Problem) {
        guard grant.namespaces.match(namespace) else {
            throw namespaceDenied
        }
        guard !guardrails.protectedNamespaces.match(namespace) else {
            throw Problem(
                .targetProtected, "namespace \(namespace) is protected on this node", field: "target",
                hint: "nobody hits it, whatever a grant says: name a container of another one")
        }
    }

    /// Whose it is, is nobody's business.
    private var namespaceDenied: Problem {
        Problem(
            .namespaceDenied, "the target's namespace is none of tenant \(tenant)'s", field: "target",
            hint: "allowed: \(Self.words(grant.namespaces))")
    }

    /// - Throws: `target-protected`, `namespace-denied`, `opt-in-missing`.
    package func admit(_ target: TargetStanding) throws(Problem) {
        guard let container = target.facts.container else { return try admitHost(target) }
        if container.isStandalone {
            try admit(standalone: container.name)
            // Whoever answers at Docker's socket does not take a pod's container out of its namespace.
            guard !Self.isBelowKubepods(target.facts.cgroup.path) else { throw Self.isContainers(target.facts.cgroup) }
            return
        }
        try admit(namespace: container.namespace)
        guard guardrails.allowsHostNetwork || !target.isOnHostNetwork else {
            throw Problem(
                .targetProtected, "the target's pod is on the node's own network", field: "target",
                hint: "such pods are hit only where the policy says \"hostNetwork: allowed\"")
        }
        let annotation = Guardrails.optInAnnotation
        guard !guardrails.requiresOptIn || target.annotations[annotation.name] == annotation.value else {
            throw Problem(
                .optInMissing, "the target's pod has not opted in", field: "target",
                hint: "its owner starts it with the annotation \(annotation.name): \(annotation.value)")
        }
    }

    /// A process or a cgroup by its number or path must not be a way round what is asked of pods.
    private func admitHost(_ target: TargetStanding) throws(Problem) {
        // What it holds is what was asked for.
        if target.facts.isHost { return }
        guard !Self.isOfPod(target.facts.cgroup.path) else { throw Self.isContainers(target.facts.cgroup) }
        guard !mayBeProtected(target.facts.cgroup.path) else {
            throw Problem(
                .targetProtected, "cgroup \(target.facts.cgroup.path) is, or may hold, what is protected on this node",
                field: "target", hint: "see protectedUnits in the policy; a service is named by --unit")
        }
    }

    /// Units are hit by their names; a slice holds whatever is in it.
    private func mayBeProtected(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        return parts.contains { guardrails.protectedUnits.match(String($0)) } || parts.last?.hasSuffix(".slice") == true
    }

    private static func isContainers(_ cgroup: TargetFacts.Cgroup) -> Problem {
        Problem(
            .targetProtected, "cgroup \(cgroup.path) is a container's, or holds some", field: "target",
            hint: "name the container")
    }

    /// Kubernetes keeps pods below `kubepods`, and every runtime names a container's cgroup for its identifier: 64
    /// hexadecimal digits.
    private static func isOfPod(_ path: String) -> Bool {
        isBelowKubepods(path)
            || path.split(separator: "/").contains { part in
                part.split(whereSeparator: { !$0.isHexDigit || !$0.isASCII }).contains { $0.utf8.count == 64 }
            }
    }

    private static func isBelowKubepods(_ path: String) -> Bool {
        path.split(separator: "/").contains { $0.contains("kubepods") }
    }

    /// Whether the containers that run on this node have to be counted.
    package var countsContainers: Bool { grant.containerShare != nil }

    /// - Parameters:
    ///   - sessions: All others that are under way.
    ///   - containers: How many run on this node; nil when they need not be counted.
    /// - Throws: `limit-exceeded`.
    package func admit(
        _ target: TargetFacts, beside sessions: [CountedSession], containers: Int?
    ) throws(Problem) {
        try refuseBeyondSessions(beside: sessions)
        let own = sessions.filter { $0.tenant == tenant }.compactMap(\.target)
        try refuse(
            own.count { $0.isSameTarget(as: target) }, beyond: grant.sessionsPerTarget,
            "tenant \(tenant), on this target")
        guard let share = grant.containerShare, let containers, let container = target.container else { return }
        let most = max(1, Int((Double(containers) * share.value / 100).rounded(.down)))
        let hit = Set(own.compactMap(\.container?.place))
        guard hit.union([container.place]).count <= most else {
            throw Problem(
                .limitExceeded, "tenant \(tenant) hits \(hit.count) containers, at most \(most) of \(containers)",
                field: "target", hint: "wait until sessions have ended, or have the policy changed")
        }
    }
}

extension TargetFacts.Container {
    /// The container, or whichever takes its place in its pod, or under its name.
    fileprivate var place: [String] {
        if isStandalone { return ["", name] }
        return podUID.isEmpty ? [id] : [podUID, name]
    }
}

extension TargetFacts {
    fileprivate func isSameTarget(as other: TargetFacts) -> Bool {
        if container != nil || other.container != nil { return container?.place == other.container?.place }
        return unit != nil && unit == other.unit || cgroup == other.cgroup
    }
}
