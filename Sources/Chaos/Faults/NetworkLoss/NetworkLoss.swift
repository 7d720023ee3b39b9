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
                    "packets in a row for which the line stays bad, on average (tc's r = 100/burstLength percent): losses come in "
                    + "bursts, by the model of Gilbert and Elliott, and percent is what is lost in the long run: more than "
                    + "lossBetweenBursts, less than lossInBurst, and no more than pauses of a packet between bursts allow; "
                    + "not with correlation"),
            Parameter(
                "lossInBurst", .percentage(0.01...100),
                meaning:
                    "share of the packets that are lost while the line is bad (tc's 1-h), all unless told; with burstLength"
            ),
            Parameter(
                "lossBetweenBursts", .percentage(0...99),
                meaning: "share of the packets that are lost meanwhile (tc's 1-k), none unless told; with burstLength"),
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
                "percent (\(chance.percent)) must be more than lossBetweenBursts (\(low)) and less than lossInBurst (\(high))",
                field: "parameters.percent",
                hint: chance.percent == .whole ? "leave out burstLength to lose everything" : "change one of them")
        }
        guard let model = LossBursts(loss: chance.percent, length: length, lossWhileBad: high, lossWhileGood: low)
        else {
            // Then the line is good for one packet between bursts.
            let most = (low.value + Double(length) * high.value) / Double(length + 1)
            throw Problem(
                .fieldInvalid,
                chance.percent.value > most
                    ? "bursts of \(length) packets lose at most \((most * 100).rounded(.down) / 100)% of all packets"
                    : "bursts of \(length) packets would be too far apart for the kernel",
                field: "parameters.percent",
                hint: chance.percent.value > most
                    ? "lose less, or let bursts be longer" : "lose more, or let bursts be shorter")
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
