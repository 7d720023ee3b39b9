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
    }

    package let agents: [Agent]

    package init(agents: [Agent]) { self.agents = agents }

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
        let place = try document.required("agents")
        try document.refuseUntaken()
        var agents: [Agent] = []
        var names: Set<String> = []
        for element in try place.elements("agents", atMost: Self.mostAgents) {
            let agent = try Self.agent(element, defaults)
            guard names.insert(agent.name).inserted else {
                throw element.refusal("another agent is called \"\(agent.name)\"")
            }
            agents.append(agent)
        }
        self.agents = agents
    }

    private static func agent(_ place: YAMLPlace, _ defaults: [String?]) throws(YAMLError) -> Agent {
        var section = try place.section()
        let name = try section.required("name").text()
        let labels = try section.section("labels")?.texts() ?? []
        let endpoint: Endpoint
        if let socket = section.take("socket") {
            endpoint = .socket(try socket.text())
        } else if let address = section.take("address") {
            let files = try zip(["caFile", "certificateFile", "keyFile"], defaults).map {
                (name, standard) throws(YAMLError) -> String in
                if let given = section.take(name) { return try given.text() }
                guard let standard else { throw section.refusal("\"\(name)\" is missing, and in \"defaults\", too") }
                return standard
            }
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
