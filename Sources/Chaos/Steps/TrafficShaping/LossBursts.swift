package import ChaosModel

/// Losses that come in bursts, by the model of Gilbert and Elliott: the line is good or bad, each for a random while, and
/// loses another share of its packets in each.
package struct LossBursts: Hashable, Sendable {
    /// Of packets, to be the last before the line turns bad, while it is good.
    package let toBad: Percentage
    package let toGood: Percentage
    package let lossWhileBad: Percentage
    package let lossWhileGood: Percentage

    package init(toBad: Percentage, toGood: Percentage, lossWhileBad: Percentage, lossWhileGood: Percentage) {
        self.toBad = toBad
        self.toGood = toGood
        self.lossWhileBad = lossWhileBad
        self.lossWhileGood = lossWhileGood
    }

    /// The kernel counts in parts of 2^32: less than this would not be what was asked.
    private static let leastChance = Percentage(1e-6) ?? .none

    /// Of which so many packets are lost in the long run.
    ///
    /// - Parameters:
    ///   - loss: Between the two shares that follow.
    ///   - length: Packets in a row for which the line is bad, on average; 1 or more.
    /// - Returns: Nil when so short bursts cannot lose so much, so long ones not so little, or shares contradict each other.
    package init?(loss: Percentage, length: Int64, lossWhileBad: Percentage, lossWhileGood: Percentage) {
        guard lossWhileGood < loss, loss < lossWhileBad, length >= 1 else { return nil }
        let badShare = (loss.value - lossWhileGood.value) / (lossWhileBad.value - lossWhileGood.value)
        let toGood = 100 / Double(length)
        guard let toBad = Percentage(toGood * badShare / (1 - badShare)), toBad >= Self.leastChance,
            let toGood = Percentage(toGood)
        else { return nil }
        self.init(toBad: toBad, toGood: toGood, lossWhileBad: lossWhileBad, lossWhileGood: lossWhileGood)
    }
}

extension LossBursts: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.toBad, left.toGood, left.lossWhileBad, left.lossWhileGood)
            < (right.toBad, right.toGood, right.lossWhileBad, right.lossWhileGood)
    }
}

extension LossBursts: CustomStringConvertible {
    package var description: String {
        "\(lossWhileBad) in bursts" + (lossWhileGood.value > 0 ? " and \(lossWhileGood) between them" : "")
    }
}

extension LossBursts {
    var json: JSON {
        [
            "toBad": .number(toBad.value), "toGood": .number(toGood.value),
            "lossWhileBad": .number(lossWhileBad.value), "lossWhileGood": .number(lossWhileGood.value),
        ]
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        func percentage(_ name: String) -> Percentage? { json[name]?.doubleValue.flatMap(Percentage.init) }
        guard json.only("toBad", "toGood", "lossWhileBad", "lossWhileGood") != nil,
            let toBad = percentage("toBad"), let toGood = percentage("toGood"),
            let lossWhileBad = percentage("lossWhileBad"), let lossWhileGood = percentage("lossWhileGood")
        else { return nil }
        self.init(toBad: toBad, toGood: toGood, lossWhileBad: lossWhileBad, lossWhileGood: lossWhileGood)
    }
}
