import LinuxSystem

/// How large a value is, for what compares values without knowing what they are for.
extension Parameter {
    /// Whether its values have an order.
    package var hasMagnitude: Bool {
        switch kind {
        case .duration, .offset, .percentage, .integer, .bytes, .rate: true
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
}
