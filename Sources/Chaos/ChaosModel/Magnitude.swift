import LinuxSystem

/// How large a value is, for what compares values without knowing what they are for.
extension Parameter {
    /// Whether its values have an order.
    package var hasMagnitude: Bool {
        switch kind {
        case .duration, .percentage, .integer, .bytes, .rate: true
        case .choice, .boolean, .path, .endpoint, .networks, .ports, .names, .hosts: false
        }
    }

    /// Whether a policy can say what it may be at the most, which of its words, or in which networks.
    package var canBeBounded: Bool {
        switch kind {
        case .choice, .endpoint: true
        default: hasMagnitude
        }
    }

    /// In nanoseconds, percent, bytes or bits a second; nil for what is no value of this parameter.
    package func magnitude(of value: JSON) -> Double? {
        switch kind {
        case .duration(let range):
            let duration = value.stringValue.flatMap { Duration(text: $0) }
            return duration.flatMap { range.contains($0) ? Double($0.wholeNanoseconds) : nil }
        case .percentage(let range):
            return value.doubleValue.flatMap { range.contains($0) ? $0 : nil }
        case .integer(let range):
            return value.integerValue.flatMap { range.contains($0) ? Double($0) : nil }
        case .bytes(let range):
            let bytes = value.stringValue.flatMap { ByteCount(text: $0) }
            return bytes.flatMap { range.contains($0) ? Double($0.value) : nil }
        case .rate(let range):
            let rate = value.stringValue.flatMap { BitRate(text: $0) }
            return rate.flatMap { range.contains($0) ? Double($0.bitsPerSecond) : nil }
        case .choice, .boolean, .path, .endpoint, .networks, .ports, .names, .hosts: return nil
        }
    }
}
