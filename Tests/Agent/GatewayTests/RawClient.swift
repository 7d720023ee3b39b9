import AgentAPI
import ChaosModel
import Glibc
import LinuxSystem

/// A client that says exactly the bytes it is told to.
final class RawClient {
    private let stream: UnixStream
    private var buffer: [UInt8] = []
    private let world: GatewayWorld

    /// - Parameter world: Kept running for as long as the client is there.
    init(to path: String, in world: GatewayWorld) throws {
        self.world = world
        stream = try UnixStream(connectingTo: path, timeout: .seconds(10))
    }

    /// False when the gateway has closed the connection.
    @discardableResult
    func send(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(stream.descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    func send(_ method: String, _ path: String, token: String? = "a.b.c", headers: [String] = []) {
        send(Self.request(method, path, token: token, headers: headers))
    }

    static func request(
        _ method: String, _ path: String, token: String? = "a.b.c", headers: [String] = []
    ) -> String {
        let authorization = token.map { ["Authorization: Bearer \($0)"] } ?? []
        return (["\(method) \(path) HTTP/1.1", "Host: node"] + authorization + headers + ["", ""])
            .joined(separator: "\r\n")
    }

    func closeOutput() {
        shutdown(stream.descriptor.rawValue, Int32(SHUT_WR))
    }

    /// Everything until the gateway closes the connection.
    func receiveToEnd() throws -> String {
        while try receiveMore() {}
        return taken(buffer.count)
    }

    /// Everything up to and with a text.
    func receive(through text: String) throws -> String {
        while true {
            if let range = buffer.firstRange(of: Array(text.utf8)) { return taken(range.upperBound) }
            guard try receiveMore() else { throw ClosedEarly(after: taken(buffer.count)) }
        }
    }

    func response(isHead: Bool = false) throws -> RawResponse {
        let head = try receive(through: "\r\n\r\n")
        var response = RawResponse(head: head)
        let length = isHead ? 0 : response["Content-Length"].flatMap { Int($0) } ?? 0
        while buffer.count < length { guard try receiveMore() else { throw ClosedEarly(after: head) } }
        response.body = taken(length)
        return response
    }

    struct ClosedEarly: Error {
        let after: String
    }

    private func receiveMore() throws -> Bool {
        let bytes = try stream.receive()
        buffer += bytes
        return !bytes.isEmpty
    }

    private func taken(_ count: Int) -> String {
        defer { buffer.removeFirst(count) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}

struct RawResponse {
    let status: Int
    let lines: [String]
    var body = ""

    init(head: String) {
        lines = head.split(separator: "\r\n").map(String.init)
        status = Int(lines[0].split(separator: " ")[1]) ?? 0
    }

    subscript(name: String) -> String? {
        lines.dropFirst().first { $0.lowercased().hasPrefix("\(name.lowercased()): ") }
            .map { String($0.dropFirst(name.count + 2)) }
    }

    var json: JSON? { try? JSON(parsing: body) }
    var code: String? { json?["code"]?.stringValue }
}
