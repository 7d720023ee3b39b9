package import ChaosModel

/// Hosts that packets go to or come from, by their names: what addresses these have is found out when a session begins, and
/// again and again while it lasts.
package struct NamedHosts: Hashable, Sendable {
    package let names: [HostName]
    /// What else is true of the packets: boxes without a destination.
    let templates: Set<TrafficBox>
    /// Of each name; nil as long as nobody has looked.
    let addresses: [HostName: [IPNetwork]]?

    /// - Parameter templates: Without destinations; of a host, those of a family that it has addresses of count.
    package init(_ names: [HostName], templates: Set<TrafficBox>) {
        self.init(names, templates: templates, addresses: nil)
    }

    private init(_ names: [HostName], templates: Set<TrafficBox>, addresses: [HostName: [IPNetwork]]?) {
        self.names = names
        self.templates = templates
        self.addresses = addresses
    }

    func found(at addresses: [HostName: [IPNetwork]]) -> NamedHosts {
        NamedHosts(names, templates: templates, addresses: addresses)
    }

    func of(_ cgroup: TargetFacts.Cgroup) -> NamedHosts {
        NamedHosts(names, templates: Set(templates.map { $0.of(cgroup) }), addresses: addresses)
    }

    /// All packets, as far as the names' addresses are known.
    var boxes: Set<TrafficBox> {
        Set(
            (addresses ?? [:]).values.joined().flatMap { address in
                templates.filter { ($0.family == .ipv4) == address.isIPv4 }.map { $0.going(to: address) }
            })
    }
}

extension NamedHosts {
    var json: JSON {
        .object([
            (
                "names",
                .array(
                    names.map { name in
                        .object([
                            ("name", .string("\(name)")),
                            ("addresses", addresses.map { .array(($0[name] ?? []).map { .string("\($0)") }) }),
                        ])
                    })
            ), ("templates", .array(templates.sorted().map(\.json))),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let json = json.only("names", "templates"), let templates = json["templates"].flatMap(TrafficBox.set),
            let values = json["names"]?.arrayValue, !values.isEmpty
        else { return nil }
        var names: [HostName] = []
        var addresses: [HostName: [IPNetwork]] = [:]
        for value in values {
            guard let value = value.only("name", "addresses"),
                let name = value["name"]?.stringValue.flatMap(HostName.init(text:)),
                let found = value.optional(
                    "addresses",
                    { list in
                        list.arrayValue.flatMap { texts in
                            let found = texts.compactMap { $0.stringValue.flatMap(IPNetwork.init(text:)) }
                            return found.count == texts.count ? found : nil
                        }
                    })
            else { return nil }
            names.append(name)
            addresses[name] = found
        }
        self.init(names, templates: templates, addresses: addresses.isEmpty ? nil : addresses)
    }
}
