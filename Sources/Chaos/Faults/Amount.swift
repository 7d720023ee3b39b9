import ChaosModel

/// How much, as the parameters `size` and `percent` say it.
enum Amount {
    case size(ByteCount)
    case percent(Percentage)
}

extension ParameterValues {
    /// Nil when neither is given.
    ///
    /// - Throws: `field-invalid` when both are.
    func amount() throws(Problem) -> Amount? {
        switch (optionalBytes("size"), optionalPercentage("percent")) {
        case (_?, _?):
            throw Problem(
                .fieldInvalid, "size and percent say the same thing twice", field: "parameters.percent",
                hint: "give one of them")
        case (let size?, nil): return .size(size)
        case (nil, let percent?): return .percent(percent)
        case (nil, nil): return nil
        }
    }
}
