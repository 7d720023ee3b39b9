package import ChaosModel
package import Steps

/// Loses a share of the target's packets.
package struct NetworkLoss: PacketShareFault {
    package static let kind = "network-loss"
    package static let summary = "loses a share of the target's packets"
    package static let effect = """
        The packets disappear, as on a bad line: TCP sends them again and slows down, UDP does not. \
        The sender is told nothing.
        """
    package static let words = (does: "lose", are: "are lost")
    package static let ownParameters =
        shareParameters + [
            Parameter(
                "burstLength", .integer(2...10_000),
                meaning:
                    "losses come in bursts of so many packets in a row, on average: the model of Gilbert and Elliott"),
            Parameter(
                "lossInBurst", .percentage(0.01...100),
                meaning: "share of the packets of a burst that are lost, all unless told"),
            Parameter(
                "lossBetweenBursts", .percentage(0...99),
                meaning: "share of the packets between bursts that are lost, none unless told"),
        ]
    package static let examples = [
        FaultExample("a bad line", ["percent": 5]),
        FaultExample("losses that come together", ["percent": 20, "correlation": 25]),
        FaultExample("a line with gaps of ten packets", ["percent": 5, "burstLength": 10]),
    ]

    package let packets: TrafficSelection
    package let chance: PacketChance
    private let bursts: (model: LossBursts, length: Int64)?

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        chance = PacketChance(values)
        bursts = try Self.bursts(values, losing: chance)
    }

    private static func bursts(
        _ values: ParameterValues, losing chance: PacketChance
    ) throws(Problem) -> (model: LossBursts, length: Int64)? {
        let (inBurst, between) = (
            values.optionalPercentage("lossInBurst"), values.optionalPercentage("lossBetweenBursts")
        )
        guard let length = values.optionalInteger("burstLength") else {
            for (value, name) in [(inBurst, "lossInBurst"), (between, "lossBetweenBursts")] where value != nil {
                throw Problem(
                    .fieldInvalid, "\(name) means nothing without bursts", field: "parameters.\(name)",
                    hint: "give a burstLength, or leave it out")
            }
            return nil
        }
        if chance.correlation != nil {
            throw Problem(
                .fieldInvalid, "losses come in bursts or are correlated, not both", field: "parameters.correlation",
                hint: "leave out the correlation, or the bursts")
        }
        let (high, low) = (inBurst ?? .whole, between ?? .none)
        guard low < chance.percent, chance.percent < high else {
            throw Problem(
                .fieldInvalid,
                "\(chance.percent) of all packets is not between \(low) and \(high), which are lost "
                    + "between bursts and in them",
                field: "parameters.percent",
                hint: "lose more in bursts, less between them, or everything without bursts")
        }
        guard let model = LossBursts(loss: chance.percent, length: length, lossWhileBad: high, lossWhileGood: low)
        else {
            throw Problem(
                .fieldInvalid,
                "with bursts of \(length) packets, the pauses between them would be shorter than a packet",
                field: "parameters.burstLength", hint: "let bursts be longer, or lose less")
        }
        return (model, length)
    }

    package var impairment: TrafficImpairment {
        bursts.map { TrafficImpairment(bursts: [$0.model]) } ?? Self.impairment(chance)
    }

    package var summary: String {
        let text = "lose \(chance.percent) of \(packets.words)"
        guard let bursts else { return text + (chance.correlation.map { ", correlated \($0)" } ?? "") }
        return text + ", in bursts of \(bursts.length) packets"
    }

    package static func impairment(_ chance: PacketChance) -> TrafficImpairment {
        TrafficImpairment(loss: chance)
    }
}
