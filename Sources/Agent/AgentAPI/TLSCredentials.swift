package import ChaosModel

/// What the gateway serves TLS with, each in PEM.
package struct TLSCredentials: Hashable, Sendable {
    /// Another one for other files.
    package let generation: String
    /// The server's, and those between it and its authority.
    package let certificateChain: String
    package let privateKey: String
    /// Whose certificates clients have.
    package let clientAuthorities: String

    package init(generation: String, certificateChain: String, privateKey: String, clientAuthorities: String) {
        self.generation = generation
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.clientAuthorities = clientAuthorities
    }

    /// Nil for what `json` cannot have made.
    package init?(_ json: JSON) {
        guard let generation = json["generation"]?.stringValue,
            let certificateChain = json["certificateChain"]?.stringValue,
            let privateKey = json["privateKey"]?.stringValue,
            let clientAuthorities = json["clientAuthorities"]?.stringValue
        else { return nil }
        self.init(
            generation: generation, certificateChain: certificateChain, privateKey: privateKey,
            clientAuthorities: clientAuthorities)
    }

    package var json: JSON {
        [
            "generation": .string(generation), "certificateChain": .string(certificateChain),
            "privateKey": .string(privateKey), "clientAuthorities": .string(clientAuthorities),
        ]
    }
}

/// The payload of a `credentials` frame: the gateway says what it serves with, and is told what else it should.
package struct CredentialsQuery: Hashable, Sendable {
    /// The generation that was told last, whether or not it is any good.
    package var known: String?
    /// Why that one is not what is served with.
    package var problem: String?
    /// Until when the server's certificate is valid, in seconds since 1970.
    package var expires: Int64?

    package init() {}

    /// Nil for what `payload` cannot have made.
    package init?(payload: some Collection<UInt8>) {
        guard let json = try? JSON(parsing: payload), let members = json.members else { return nil }
        for member in members {
            switch member.name {
            case "known": known = member.value.stringValue
            case "problem": problem = member.value.stringValue
            case "expires": expires = member.value.integerValue
            default: return nil
            }
        }
    }

    package var payload: [UInt8] {
        JSON.object([
            ("known", known.map(JSON.string)), ("problem", problem.map(JSON.string)),
            ("expires", expires.map(JSON.integer)),
        ]).bytes
    }
}
