package import ChaosModel

/// What a network namespace was like before its first layer, as far as layers change it.
package struct TrafficBase: Hashable, Sendable {
    package let interfaces: [Interface]
    /// Whom no layer hits; each network once.
    package let excluded: [ExcludedEndpoint]

    package struct Interface: Hashable, Sendable {
        /// It names the interface: the kernel gives a number again only after all others.
        package let index: Int32
        /// For people.
        package let name: String
        package let hadClsact: Bool
        /// Zero on most pods' interfaces, which CNI plugins make so: and the kernel makes 1000 of it whenever a qdisc is
        /// added, clsact too.
        package let transmitQueueLength: UInt32

        package init(index: Int32, name: String, hadClsact: Bool, transmitQueueLength: UInt32) {
            self.index = index
            self.name = name
            self.hadClsact = hadClsact
            self.transmitQueueLength = transmitQueueLength
        }
    }

    /// The one that takes in all of these packets.
    func exclusion(of network: IPNetwork) -> ExcludedEndpoint? { excluded.first { $0.network.contains(network) } }

    /// As ", but never 10.0.0.1 (the target's gateway)"; empty where a layer would hit none of them anyway.
    func exclusionWords(from layer: TrafficLayer) -> String {
        let boxes = layer.filter.boxes
        let met = excluded.filter { endpoint in boxes.contains { $0.meet(endpoint.box($0.direction)) != nil } }
        let spared = layer.spared.words(among: boxes)
        if met.isEmpty, spared.isEmpty { return "" }
        let most = 8
        let named = spared + met.prefix(most).map { "\($0.network) (\($0.role.words))" }
        return ", but never " + named.joined(separator: ", ")
            + (met.count > most ? " and \(met.count - most) more" : "")
    }

    package init(interfaces: [Interface], excluded: [ExcludedEndpoint] = []) {
        self.interfaces = interfaces
        self.excluded = excluded
    }
}

extension TrafficBase {
    package var json: JSON {
        .object([
            ("interfaces", .array(interfaces.map(\.json))),
            ("excluded", excluded.isEmpty ? nil : .array(excluded.map(\.json))),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let json = json.only("interfaces", "excluded"), let values = json["interfaces"]?.arrayValue else {
            return nil
        }
        let interfaces = values.compactMap(Interface.init)
        // Journals before there were any do not say.
        let endpoints = json["excluded"]?.arrayValue ?? []
        let excluded = endpoints.compactMap(ExcludedEndpoint.init)
        guard interfaces.count == values.count, excluded.count == endpoints.count else { return nil }
        self.init(interfaces: interfaces, excluded: excluded)
    }
}

extension TrafficBase.Interface {
    fileprivate var json: JSON {
        .object([
            ("index", .integer(Int64(index))), ("name", .string(name)), ("hadClsact", .boolean(hadClsact)),
            ("transmitQueueLength", .integer(Int64(transmitQueueLength))),
        ])
    }

    fileprivate init?(_ json: JSON) {
        guard let json = json.only("index", "name", "hadClsact", "transmitQueueLength"),
            let index = json["index"]?.integerValue.flatMap(Int32.init(exactly:)), index > 0,
            let name = json["name"]?.stringValue,
            let hadClsact = json["hadClsact"]?.booleanValue,
            let length = json["transmitQueueLength"]?.integerValue.flatMap(UInt32.init(exactly:))
        else { return nil }
        self.init(index: index, name: name, hadClsact: hadClsact, transmitQueueLength: length)
    }
}
