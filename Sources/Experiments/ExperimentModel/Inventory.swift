import ChaosModel
package import YAML

/// The agents that experiments may speak to, where no cluster knows them.
package struct Inventory: Sendable {
    package static let kind = "Inventory"
    private static let mostAgents = 10_000

    package struct Agent: Sendable {
        /// As its node calls itself: tokens are made for this name.
        package let name: String
        package let endpoint: Endpoint
        package let labels: [(name: String, value: String)]

        package init(name: String, endpoint: Endpoint, labels: [(name: String, value: String)]) {
            self.name = name
            self.endpoint = endpoint
            self.labels = labels
        }
    }

    package enum Endpoint: Hashable, Sendable {
        /// The gateway's Unix socket.
        case socket(String)
        /// The gateway's port for mutual TLS.
        case tls(TLS)
    }

    package struct TLS: Hashable, Sendable {
        /// `host:port`.
        package let address: String
        /// The name that its certificate is for; nil for the host.
        package let serverName: String?
        /// PEM files: whom to trust, and who this is.
        package let authorities: String
        package let certificate: String
        package let key: String

        package init(address: String, serverName: String?, authorities: String, certificate: String, key: String) {
            self.address = address
            self.serverName = serverName
            self.authorities = authorities
            self.certificate = certificate
            self.key = key
        }
    }

    /// Where agents are pods of a cluster: each is reached at its pod's address, or its node's.
    package struct Pods: Hashable, Sendable {
        package let namespace: String
        /// A selector as the API has it.
        package let labelSelector: String
        /// Nil for that which the pod calls `tls`.
        package let port: UInt16?
        /// Whether the port is one of the node's, too.
        package let usesHostAddress: Bool
        /// Of all their certificates.
        package let serverName: String?
        package let authorities: String
        package let certificate: String
        package let key: String
    }

    package let agents: [Agent]
    package let pods: Pods?

    /// - Throws: With the line, the place in the document and what is allowed there.
    package init(yaml bytes: [UInt8]) throws(YAMLError) {
        var document = try YAMLSection(try YAMLNode(parsing: bytes), at: "")
        let version = try document.required("apiVersion")
        guard version.json == .string(Experiment.apiVersion) else {
            throw version.refusal("this is \(Experiment.apiVersion)")
        }
        let kind = try document.required("kind")
        guard kind.json == .string(Self.kind) else { throw kind.refusal("this is an \(Self.kind)") }
        var standard = try document.section("defaults")
        let defaults = try ["caFile", "certificateFile", "keyFile"].map { (name) throws(YAMLError) in
            try standard?.take(name)?.text()
        }
        try standard?.refuseUntaken()
        pods = try document.section("kubernetes").map { (section) throws(YAMLError) in
            var section = section
            return try Self.pods(&section, defaults)
        }
        let place = pods == nil ? try document.required("agents") : document.take("agents")
        try document.refuseUntaken()
        var agents: [Agent] = []
        var names: Set<String> = []
        for element in try place?.elements("agents", atMost: Self.mostAgents) ?? [] {
            let agent = try Self.agent(element, defaults)
            guard names.insert(agent.name).inserted else {
                throw element.refusal("another agent is called \"\(agent.name)\"")
            }
            agents.append(agent)
        }
        self.agents = agents
    }

    private static func files(_ section: inout YAMLSection, _ defaults: [String?]) throws(YAMLError) -> [String] {
        try zip(["caFile", "certificateFile", "keyFile"], defaults).map { (name, standard) throws(YAMLError) in
            if let given = section.take(name) { return try given.text() }
            guard let standard else { throw section.refusal("\"\(name)\" is missing, and in \"defaults\", too") }
            return standard
        }
    }

    private static func pods(_ section: inout YAMLSection, _ defaults: [String?]) throws(YAMLError) -> Pods {
        let files = try Self.files(&section, defaults)
        let pods = Pods(
            namespace: try section.take("namespace")?.text() ?? "squall-system",
            labelSelector: try section.take("labelSelector")?.text() ?? "app.kubernetes.io/name=squall",
            port: try section.take("port").map { (place) throws(YAMLError) in
                UInt16(try place.integer(in: 1...65535))
            },
            usesHostAddress: try section.take("hostAddress")?.boolean() ?? false,
            serverName: try section.take("serverName")?.text(), authorities: files[0], certificate: files[1],
            key: files[2])
        try section.refuseUntaken()
        return pods
    }

    private static func agent(_ place: YAMLPlace, _ defaults: [String?]) throws(YAMLError) -> Agent {
        var section = try place.section()
        let name = try section.required("name").text()
        let labels = try section.section("labels")?.texts() ?? []
        let endpoint: Endpoint
        if let socket = section.take("socket") {
            endpoint = .socket(try socket.text())
        } else if let address = section.take("address") {
            let files = try Self.files(&section, defaults)
            endpoint = .tls(
                TLS(
                    address: try address.text(), serverName: try section.take("serverName")?.text(),
                    authorities: files[0], certificate: files[1], key: files[2]))
        } else {
            throw section.refusal("an agent has a \"socket\", or an \"address\" for mutual TLS")
        }
        try section.refuseUntaken()
        return Agent(name: name, endpoint: endpoint, labels: labels)
    }
}
