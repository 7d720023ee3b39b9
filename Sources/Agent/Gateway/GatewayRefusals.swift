/// What the gateway itself has refused since it was started, for whoever reads the metrics. The engine never saw it.
final class GatewayRefusals {
    /// Of connections; requests are counted by their problem's code.
    enum Connection: String, CaseIterable {
        /// As many are open as there may be.
        case connections
        /// As many as one client may have.
        case connectionsOfClient = "connections-of-client"
        /// TLS clients that connect too often, or whose handshake fails.
        case handshakes
        case handshakeFailed = "handshake-failed"
    }

    private static let name = "squall_gateway_refused"
    private static let end = Array("# EOF\n".utf8)

    private var counts = Dictionary(uniqueKeysWithValues: Connection.allCases.map { ($0.rawValue, 0) })

    func count(_ connection: Connection) { counts[connection.rawValue, default: 0] += 1 }

    func count(code: String) { counts[code, default: 0] += 1 }

    /// The engine's metrics with the gateway's; as they are, when they do not end as OpenMetrics does.
    func added(to metrics: String) -> [UInt8] {
        let bytes = Array(metrics.utf8)
        guard bytes.suffix(Self.end.count).elementsEqual(Self.end) else { return bytes }
        let lines =
            ["# TYPE \(Self.name) counter", "# HELP \(Self.name) What the gateway refused itself, by the reason."]
            + counts.sorted { $0.key < $1.key }.map { "\(Self.name)_total{reason=\"\($0)\"} \($1)" }
        return bytes.dropLast(Self.end.count) + lines.map { $0 + "\n" }.joined().utf8 + Self.end
    }
}
