package import ChaosModel

/// What a network namespace was like before its first layer, as far as layers change it.
package struct TrafficBase: Hashable, Sendable {
    package let interfaces: [Interface]

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

    package init(interfaces: [Interface]) {
        self.interfaces = interfaces
    }
}

extension TrafficBase {
    package var json: JSON {
        .object([("interfaces", .array(interfaces.map(\.json)))])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let values = json.only("interfaces")?["interfaces"]?.arrayValue else { return nil }
        let interfaces = values.compactMap(Interface.init)
        guard interfaces.count == values.count else { return nil }
        self.interfaces = interfaces
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
