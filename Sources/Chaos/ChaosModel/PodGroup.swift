/// Names several containers, one of each of some pods: of the pods that match, so many are chosen by chance.
///
/// With the same seed the same are chosen of the same pods, in whatever order; one that has come may take the place of another.
package struct PodGroup: Hashable, Sendable {
    package enum Share: Hashable, Sendable {
        /// So many, or all where there are fewer.
        case count(Int)
        /// Of those on this node, rounded down, but one at least.
        case percent(Int)
    }

    /// How many sessions one request opens at most: no more than the engine stops containers, or waits for disks, at once.
    package static let most = 32
    /// What every JSON library reads as it was written.
    package static let seeds: ClosedRange<Int64> = 0...(1 << 53 - 1)

    package let pods: PodSelector
    package let share: Share
    /// Nil for one that is drawn at random.
    package let seed: Int64?

    package init(pods: PodSelector, share: Share, seed: Int64? = nil) {
        self.pods = pods
        self.share = share
        self.seed = seed
    }
}

/// Of which group a session is, and how that was chosen.
package struct GroupMembership: Hashable, Sendable {
    package let id: GroupID
    /// How many sessions were opened.
    package let size: Int
    /// How many there were to choose from.
    package let matched: Int
    package let seed: Int64

    package init(id: GroupID, size: Int, matched: Int, seed: Int64) {
        self.id = id
        self.size = size
        self.matched = matched
        self.seed = seed
    }

    package var json: JSON {
        [
            "id": .string(id.text), "size": .integer(Int64(size)), "matched": .integer(Int64(matched)),
            "seed": .integer(seed),
        ]
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let id = json["id"]?.stringValue.flatMap({ GroupID($0) }),
            let size = json["size"]?.integerValue.flatMap({ Int(exactly: $0) }),
            let matched = json["matched"]?.integerValue.flatMap({ Int(exactly: $0) }),
            let seed = json["seed"]?.integerValue
        else { return nil }
        self.init(id: id, size: size, matched: matched, seed: seed)
    }
}

extension PodGroup.Share {
    package func number(of all: Int) -> Int {
        switch self {
        case .count(let count): min(count, all)
        case .percent(let percent): min(all, max(1, all * percent / 100))
        }
    }
}

extension PodGroup {
    /// Chooses among pods by their uids: the places of those chosen, in the order of the uids given.
    ///
    /// Each pod has a number that depends on the seed and its own uid alone, and the lowest are taken.
    package func chosen(of uids: [String], seed: Int64) -> [Int] {
        let numbers = uids.map { Self.mixed(Self.hash($0) ^ Self.mixed(UInt64(bitPattern: seed))) }
        let order = uids.indices.sorted { (numbers[$0], uids[$0]) < (numbers[$1], uids[$1]) }
        return order.prefix(share.number(of: uids.count)).sorted()
    }

    /// FNV-1a.
    private static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// What SplitMix64 makes of its state.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// Reads `{"namespace": "shop", "labels": {"app": "web"}, "count": 2}`, or with `percent`, and with `seed`.
    package init(_ json: JSON, field: String) throws(Problem) {
        guard let members = json.members else {
            throw Problem(.fieldInvalid, "pods are an object, not \(json.typeName)", field: field)
        }
        let own: Set = ["count", "percent", "seed"]
        pods = try PodSelector(.object(members.filter { !own.contains($0.name) }), field: field)
        func number(_ name: String, in range: ClosedRange<Int64>) throws(Problem) -> Int64? {
            guard let value = json[name] else { return nil }
            guard let number = value.integerValue, range.contains(number) else {
                throw Problem(
                    .fieldInvalid, "\"\(name)\" is an integer from \(range.lowerBound) to \(range.upperBound)",
                    field: "\(field).\(name)")
            }
            return number
        }
        switch (try number("count", in: 1...Int64(Self.most)), try number("percent", in: 1...100)) {
        case (let count?, nil): share = .count(Int(count))
        case (nil, let percent?): share = .percent(Int(percent))
        case (.some, .some), (nil, nil):
            throw Problem(
                json["count"] == nil ? .fieldMissing : .fieldInvalid, "pods are limited by either count or percent",
                field: "\(field).count", hint: "\"percent\": 100 for all that match on this node")
        }
        seed = try number("seed", in: Self.seeds)
    }

    package var json: JSON {
        let count: JSON?
        let percent: JSON?
        switch share {
        case .count(let number): (count, percent) = (.integer(Int64(number)), nil)
        case .percent(let number): (count, percent) = (nil, .integer(Int64(number)))
        }
        let own = JSON.object([("count", count), ("percent", percent), ("seed", seed.map(JSON.integer))])
        return .object((pods.json.members ?? []) + (own.members ?? []))
    }
}

/// What an injection hits.
package enum InjectionTarget: Hashable, Sendable {
    case one(TargetSelector)
    /// A session on each.
    case pods(PodGroup)

    package init(_ json: JSON, field: String = "target") throws(Problem) {
        if let members = json.members, members.count == 1, let pods = json["pods"] {
            self = .pods(try PodGroup(pods, field: "\(field).pods"))
        } else {
            self = .one(try TargetSelector(json, field: field))
        }
    }

    package var json: JSON {
        switch self {
        case .one(let selector): selector.json
        case .pods(let group): ["pods": group.json]
        }
    }

    package var targetClass: TargetClass {
        switch self {
        case .one(let selector): selector.targetClass
        case .pods: .container
        }
    }

    /// Whether something takes its place when it ends: a process or a cgroup by its number or path is gone for good.
    package var isStartedAgain: Bool {
        switch targetClass {
        case .container, .standalone, .unit: true
        case .partOfHost, .host: false
        }
    }

    /// Whether it names several, of which some are chosen.
    package var isGroup: Bool {
        switch self {
        case .one: false
        case .pods: true
        }
    }

    /// Of the pods that are meant; nil where none is named.
    package var namespace: String? {
        switch self {
        case .one(.pod(let pod)): pod.namespace
        case .pods(let group): group.pods.namespace
        case .one: nil
        }
    }
}
