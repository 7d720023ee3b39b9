package import Cgroups
package import ChaosModel

/// A limit to be lowered, as a fault plans it.
package enum LoweredLimit: Hashable, Sendable {
    /// To a share of the CPU time that the target may have when no session lowers it.
    case cpu(Percentage)
    /// Of memory that the kernel lets it have before it takes some back.
    case memory(MemoryAmount)
    /// To no time at all: its processes stop where they are.
    case freezer
    /// Of what it may read from the disk that backs a directory, or write to it, in bytes or requests a second.
    case io(IOQuantity, Int64, directory: String)

    package enum MemoryAmount: Hashable, Sendable {
        case bytes(ByteCount)
        /// Of what the target uses when the session begins.
        case ofUse(Percentage)
    }
}

/// A limit that was decided on, and what there was before the first session lowered it.
package struct LimitLayer: Hashable, Sendable {
    package let resource: LimitedResource
    package let limit: CgroupLimit
    package let base: CgroupLimit

    package init(_ resource: LimitedResource, limit: CgroupLimit, base: CgroupLimit) {
        self.resource = resource
        self.limit = limit
        self.base = base
    }
}

extension LimitLayer {
    /// As a person would say it.
    var summary: String {
        switch resource {
        case .cpu: "lower the CPU limit to \(Self.cpus(limit)), from \(Self.cpus(base))"
        case .memory: "lower the limit of memory to \(Self.bytes(limit)), from \(Self.bytes(base))"
        case .freezer: "freeze all processes"
        case .io(let device, let quantity):
            "lower the limit of what is \(quantity.words) disk \(device) to \(Self.rate(limit, quantity)), from "
                + Self.rate(base, quantity)
        }
    }

    private static func rate(_ limit: CgroupLimit, _ quantity: IOQuantity) -> String {
        guard let amount = limit.amount else { return "none" }
        return quantity.isOfBytes ? "\(ByteCount(amount)) a second" : "\(amount) requests a second"
    }

    private static func bytes(_ limit: CgroupLimit) -> String { limit.amount.map { "\(ByteCount($0))" } ?? "none" }

    private static func cpus(_ limit: CgroupLimit) -> String {
        guard let amount = limit.amount else { return "none" }
        let cpus = Double((Double(amount) / 1000).rounded()) / 1000
        return cpus == 1 ? "1 CPU" : "\(cpus) CPUs"
    }

    var json: JSON {
        ["resource": .string(resource.rawValue), "limit": limit.json, "base": base.json]
    }

    init?(_ json: JSON) {
        guard let resource = json["resource"]?.stringValue.flatMap(LimitedResource.init),
            let limit = json["limit"].flatMap(CgroupLimit.init), limit.amount != nil,
            let base = json["base"].flatMap(CgroupLimit.init)
        else { return nil }
        self.init(resource, limit: limit, base: base)
    }
}

extension CgroupLimit {
    fileprivate var json: JSON { .object([("amount", amount.map(JSON.integer)), ("text", .string(text))]) }

    fileprivate init?(_ json: JSON) {
        guard let text = json["text"]?.stringValue, !text.isEmpty, !text.contains("\0") else { return nil }
        let amount = json["amount"]?.integerValue
        if json["amount"] != nil, amount == nil { return nil }
        self.init(amount: amount, text: text)
    }
}

extension IOQuantity {
    package var isOfBytes: Bool { self == .readBytes || self == .writtenBytes }

    package var words: String { self == .readBytes || self == .reads ? "read from" : "written to" }
}
