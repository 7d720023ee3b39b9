package import ChaosModel

/// A value, and where in the document it is.
package struct YAMLPlace: Hashable, Sendable {
    /// As `tenants.shop.faults[2]`; empty for the document itself.
    package let path: String
    package let node: YAMLNode

    package init(path: String, node: YAMLNode) {
        self.path = path
        self.node = node
    }

    package var json: JSON { node.json }
    package var isMapping: Bool { if case .mapping = node.value { true } else { false } }

    /// - Parameter reason: What is allowed there.
    package func refusal(_ reason: String) -> YAMLError {
        YAMLError(path.isEmpty ? reason : "\(path): \(reason)", line: node.line)
    }

    package func section() throws(YAMLError) -> YAMLSection { try YAMLSection(node, at: path) }

    /// The elements of a list.
    ///
    /// - Parameter what: What there may be, for people.
    package func elements(_ what: String, atMost most: Int = 1000) throws(YAMLError) -> [YAMLPlace] {
        guard case .sequence(let nodes) = node.value, nodes.count <= most else {
            throw refusal("a list of \(what), of \(most) at most")
        }
        return nodes.enumerated().map { YAMLPlace(path: "\(path)[\($0)]", node: $1) }
    }

    /// A list of texts, each of which the closure reads.
    ///
    /// - Parameter rule: Which texts it reads.
    package func list<Element>(
        _ what: String, of rule: String, _ element: (String) -> Element?
    ) throws(YAMLError) -> [Element] {
        var elements: [Element] = []
        for place in try self.elements(what) {
            guard let element = place.json.stringValue.flatMap(element) else { throw place.refusal(rule) }
            elements.append(element)
        }
        return elements
    }
}

/// A mapping whose members are taken one by one; what nobody has taken is refused.
package struct YAMLSection: Sendable {
    package let place: YAMLPlace
    private var left: [YAMLNode.Member]

    package init(_ node: YAMLNode, at path: String) throws(YAMLError) {
        place = YAMLPlace(path: path, node: node)
        guard case .mapping(let members) = node.value else { throw place.refusal("a mapping of names to values") }
        left = members
    }

    package func refusal(_ reason: String) -> YAMLError { place.refusal(reason) }

    private func place(of member: YAMLNode.Member) -> YAMLPlace {
        YAMLPlace(path: place.path.isEmpty ? member.name : "\(place.path).\(member.name)", node: member.value)
    }

    /// All members that are left, by name.
    package var places: [(String, YAMLPlace)] { left.map { ($0.name, place(of: $0)) } }

    package func sections() throws(YAMLError) -> [(String, YAMLSection)] {
        var sections: [(String, YAMLSection)] = []
        for (name, place) in places { sections.append((name, try place.section())) }
        return sections
    }

    package mutating func take(_ name: String) -> YAMLPlace? {
        guard let index = left.firstIndex(where: { $0.name == name }) else { return nil }
        return place(of: left.remove(at: index))
    }

    package mutating func required(_ name: String) throws(YAMLError) -> YAMLPlace {
        guard let place = take(name) else { throw place.refusal("\"\(name)\" is missing") }
        return place
    }

    package func refuseUntaken() throws(YAMLError) {
        guard let member = left.first else { return }
        throw YAMLError("\(place(of: member).path): unknown", line: member.line)
    }

    package mutating func section(_ name: String) throws(YAMLError) -> YAMLSection? {
        guard let place = take(name) else { return nil }
        return try place.section()
    }

    /// One of the words of a type.
    package mutating func choice<Word: RawRepresentable<String> & CaseIterable>(
        _ name: String, of type: Word.Type
    ) throws(YAMLError) -> Word? {
        try choice(name, Dictionary(uniqueKeysWithValues: type.allCases.map { ($0.rawValue, $0) }))
    }

    package mutating func choice<Value>(_ name: String, _ meanings: [String: Value]) throws(YAMLError) -> Value? {
        guard let place = take(name) else { return nil }
        guard let meaning = place.json.stringValue.flatMap({ meanings[$0] }) else {
            throw place.refusal(meanings.keys.sorted().joined(separator: " or "))
        }
        return meaning
    }
}
