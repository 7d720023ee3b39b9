package import ChaosModel
import LinuxSystem
package import YAML

/// What a policy may name: the faults there are, each with its parameters.
package typealias FaultParameters = [String: [Parameter]]

extension Policy {
    /// Longer than any policy that somebody has read.
    package static let maximumLength = 1 << 20
    static let version: Int64 = 1

    /// - Throws: With the line, the place in the document and what is allowed there.
    package init(yaml bytes: [UInt8], faults: FaultParameters) throws(YAMLError) {
        guard bytes.count <= Self.maximumLength else {
            throw YAMLError("the policy is longer than \(Self.maximumLength) bytes", line: 1)
        }
        var document = try YAMLSection(try YAMLNode(parsing: bytes), at: "")
        let version = try document.required("version")
        guard version.json == .integer(Self.version) else {
            throw version.refusal("this agent reads version \(Self.version)")
        }
        guardrails =
            try document.section("guardrails").map { (section) throws(YAMLError) in try Guardrails(section) }
            ?? Guardrails()
        var tenants: [Tenant: Grant] = [:]
        var owners: [PeerIdentity: Tenant] = [:]
        for (name, grant) in try document.required("tenants").section().sections() {
            guard let tenant = Tenant(name) else {
                throw grant.refusal("a tenant's name is 1 to 63 lower-case letters, digits and inner hyphens")
            }
            tenants[tenant] = try Grant(grant, faults: faults)
            for identity in tenants[tenant]?.tlsIdentities ?? [] {
                if let owner = owners.updateValue(tenant, forKey: identity), owner != tenant {
                    throw grant.refusal("\(identity) is tenant \(owner)'s, too")
                }
            }
        }
        try document.refuseUntaken()
        self.tenants = tenants
    }
}

extension Guardrails {
    fileprivate init(_ given: YAMLSection) throws(YAMLError) {
        var section = given
        self.init()
        protectedNamespaces = try section.patterns("protectedNamespaces") ?? protectedNamespaces
        protectedUnits = try section.take("protectedUnits")?.unitPatterns() ?? protectedUnits
        requiresOptIn = try section.choice("optIn", ["required": true, "none": false]) ?? requiresOptIn
        allowsHostNetwork = try section.permission("hostNetwork") ?? allowsHostNetwork
        host = try section.hostAccess() ?? host
        allowsPower = try section.permission("power") ?? allowsPower
        longestDuration = try section.duration("duration") ?? longestDuration
        sessions = try section.count("sessions") ?? sessions
        abortLine =
            try section.section("abort").map { (section) throws(YAMLError) in try AbortLine(section) } ?? abortLine
        try section.refuseUntaken()
    }
}

extension AbortLine {
    fileprivate init(_ given: YAMLSection) throws(YAMLError) {
        var section = given
        self.init()
        pressures[.cpu] = try section.percentage("cpuPressure")
        pressures[.memory] = try section.percentage("memoryPressure")
        pressures[.io] = try section.percentage("ioPressure")
        freeDisk = try section.percentage("freeDisk")
        try section.refuseUntaken()
    }
}

extension Grant {
    fileprivate init(_ given: YAMLSection, faults: FaultParameters) throws(YAMLError) {
        var section = given
        self.init()
        namespaces = try section.patterns("namespaces") ?? []
        tlsIdentities = try section.take("tlsIdentities")?.identities() ?? []
        let place = try section.required("faults")
        self.faults = try place.patterns()
        for pattern in self.faults where !faults.keys.contains(where: pattern.matches) {
            throw place.refusal("no fault is called \"\(pattern)\"")
        }
        units = try section.take("units")?.unitPatterns() ?? []
        containerNames = try section.take("containerNames")?.containerPatterns() ?? []
        host = try section.hostAccess() ?? host
        longestDuration = try section.duration("duration")
        sessions = try section.count("sessions")
        sessionsPerTarget = try section.count("sessionsPerTarget")
        requestsPerSecond = try section.count("requestsPerSecond") ?? requestsPerSecond
        containerShare = try section.percentage("containers")
        for (fault, limits) in try section.section("intensity")?.sections() ?? [] {
            guard let parameters = faults[fault] else { throw limits.refusal("no fault is called \"\(fault)\"") }
            intensities[fault] = try Self.bounds(limits, of: parameters)
        }
        try section.refuseUntaken()
    }

    private static func bounds(_ limits: YAMLSection, of parameters: [Parameter]) throws(YAMLError) -> [String: Bounds]
    {
        var all: [String: Bounds] = [:]
        for (name, place) in limits.places {
            guard let parameter = parameters.first(where: { $0.name == name }), parameter.canBeBounded else {
                let known = parameters.filter(\.canBeBounded).map(\.name)
                throw place.refusal(
                    "no parameter that can be bounded; there are \(known.isEmpty ? "none" : known.joined(separator: ", "))"
                )
            }
            all[name] = try Bounds(place, of: parameter)
        }
        return all
    }
}

extension Grant.Bounds {
    fileprivate init(_ place: YAMLPlace, of parameter: Parameter) throws(YAMLError) {
        if case .choice(let known) = parameter.kind {
            guard let words = place.json.arrayValue?.compactMap(\.stringValue), !words.isEmpty,
                words.count == place.json.arrayValue?.count, words.allSatisfy(known.contains)
            else { throw place.refusal("a list of words that are allowed, of \(known.joined(separator: ", "))") }
            self.init(words: words, text: words.joined(separator: " or "))
        } else if case .endpoint = parameter.kind {
            let texts = place.json.arrayValue ?? []
            let networks = texts.compactMap { $0.stringValue.flatMap(IPNetwork.init(text:)) }
            guard !networks.isEmpty, networks.count == texts.count else {
                throw place.refusal("a list of networks that it may be in, as [10.1.0.0/16]")
            }
            self.init(networks: networks, text: "in \(networks.map { "\($0)" }.joined(separator: " or "))")
        } else if place.isMapping {
            var section = try place.section()
            let (least, most) = (section.take("min"), section.take("max"))
            try section.refuseUntaken()
            guard least != nil || most != nil else { throw place.refusal("neither \"min\" nor \"max\"") }
            let text = [least.map { "at least \($0.json.text)" }, most.map { "at most \($0.json.text)" }]
            self.init(
                least: try least.map { (place) throws(YAMLError) in try place.magnitude(of: parameter) },
                most: try most.map { (place) throws(YAMLError) in try place.magnitude(of: parameter) },
                text: text.compactMap(\.self).joined(separator: " and "))
            guard self.least ?? -.infinity <= self.most ?? .infinity else {
                throw place.refusal("\"min\" is more than \"max\"")
            }
        } else {
            self.init(most: try place.magnitude(of: parameter), text: "at most \(place.json.text)")
        }
    }
}

extension YAMLPlace {
    fileprivate func magnitude(of parameter: Parameter) throws(YAMLError) -> Double {
        guard let value = parameter.magnitude(of: json) else {
            throw refusal("\(json.text.cut(to: 64)) is no value of it: \(parameter.range)")
        }
        return value
    }

    fileprivate func patterns() throws(YAMLError) -> [NamePattern] {
        try list(
            "names, as [shop, \"shop-*\"]",
            of: "a name is lower-case letters, digits, '-' and '.', and may have up to four '*'", NamePattern.init(_:))
    }

    fileprivate func unitPatterns() throws(YAMLError) -> [NamePattern] {
        try list(
            "units of systemd, as [nginx.service, \"shop-*\"]",
            of: "a unit's name is letters, digits and any of : - _ . @ \\, and may have up to four '*'",
            NamePattern.init(unit:))
    }

    fileprivate func containerPatterns() throws(YAMLError) -> [NamePattern] {
        try list(
            "names of containers, as [shop-db, \"shop-*\"]",
            of: "a container's name is letters, digits and any of - _ ., and may have up to four '*'",
            NamePattern.init(container:))
    }

    fileprivate func identities() throws(YAMLError) -> [PeerIdentity] {
        try list(
            "certificates' names, as [\"spiffe://cluster/ns/shop/sa/chaos\", chaos.shop.example]",
            of: "a certificate's name is a URI or a DNS name, without wildcards", PeerIdentity.init)
    }
}

extension YAMLSection {
    fileprivate mutating func patterns(_ name: String) throws(YAMLError) -> [NamePattern]? {
        guard let place = take(name) else { return nil }
        return try place.patterns()
    }

    fileprivate mutating func permission(_ name: String) throws(YAMLError) -> Bool? {
        try choice(name, ["allowed": true, "refused": false])
    }

    fileprivate mutating func hostAccess() throws(YAMLError) -> HostAccess? {
        try choice("host", Dictionary(uniqueKeysWithValues: HostAccess.allCases.map { ($0.word, $0) }))
    }

    fileprivate mutating func duration(_ name: String) throws(YAMLError) -> Duration? {
        guard let place = take(name) else { return nil }
        let range = InjectionRequest.durations
        guard let duration = place.json.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) else {
            throw place.refusal("a duration with its unit, \(range.lowerBound.text) to \(range.upperBound.text)")
        }
        return duration
    }

    fileprivate mutating func percentage(_ name: String) throws(YAMLError) -> Percentage? {
        guard let place = take(name) else { return nil }
        guard let percent = place.json.doubleValue, percent > 0, let percentage = Percentage(percent) else {
            throw place.refusal("a number of percent, above 0 and up to 100")
        }
        return percentage
    }

    fileprivate mutating func count(_ name: String) throws(YAMLError) -> Int? {
        guard let place = take(name) else { return nil }
        guard let count = place.json.integerValue, (0...1_000_000).contains(count) else {
            throw place.refusal("a whole number, 0 to 1000000")
        }
        return Int(count)
    }
}
