package import AgentAPI
package import ChaosModel

/// Speaks to the engine's own socket, which only the agent's user may.
package struct OperatorClient: Sendable {
    private let socket: String
    private let timeout: Duration
    /// A halt is answered when every session of the node is undone: a thousand, on a node that is slow.
    private static let haltTimeout = Duration.seconds(600)

    package init(socket: String, timeout: Duration = .seconds(10)) {
        self.socket = socket
        self.timeout = timeout
    }

    package func answer(to command: OperatorCommand) throws(ClientError) -> Answer {
        var timeout = timeout
        if case .halt = command { timeout = max(timeout, Self.haltTimeout) }
        return try answer(to: Frame(.command, command.json.bytes), within: timeout)
    }

    package func answer(to query: PublicQuery) throws(ClientError) -> Answer {
        try answer(to: Frame(.query, query.rawValue.utf8), within: timeout)
    }

    /// Hands over the items of a stream as they come, however long that takes.
    ///
    /// - Returns: Nil at the end of the stream; the answer when there was none.
    package func items(of command: OperatorCommand, each: (JSON) -> Void) throws(ClientError) -> Answer? {
        try exchange(Frame(.command, command.json.bytes), timeout: nil, each: each)
    }

    private func answer(to request: Frame, within timeout: Duration) throws(ClientError) -> Answer {
        let answer = try exchange(request, timeout: timeout) { _ in }
        guard let answer else { throw notTheProtocol("a stream where one answer was due") }
        return answer
    }

    private func exchange(
        _ request: Frame, timeout: Duration?, each: (JSON) -> Void
    ) throws(ClientError) -> Answer? {
        let connection = try AgentConnection(to: .socket(socket), timeout: timeout)
        try connection.send(request.encoded)
        var decoder = FrameDecoder()
        while true {
            while let frame = try next(in: &decoder) {
                switch frame.kind {
                case .item: each(try json(frame.payload))
                case .end: return nil
                case .answer:
                    guard let answer = Answer(payload: frame.payload) else {
                        throw notTheProtocol("a malformed answer")
                    }
                    return answer
                case .envelope, .command, .query, .question, .credentials: throw notTheProtocol("a request")
                }
            }
            let bytes = try connection.receive()
            guard !bytes.isEmpty else { throw ClientError(socket: socket, .closedEarly) }
            decoder.append(bytes)
        }
    }

    private func next(in decoder: inout FrameDecoder) throws(ClientError) -> Frame? {
        do throws(FrameError) {
            return try decoder.next()
        } catch {
            switch error {
            case .badLength(let length): throw notTheProtocol("a frame of \(length) bytes")
            case .unknownKind(let kind): throw notTheProtocol("a frame of kind \(kind)")
            }
        }
    }

    private func json(_ bytes: [UInt8]) throws(ClientError) -> JSON {
        do throws(JSONError) {
            return try JSON(parsing: bytes)
        } catch {
            throw notTheProtocol("\(error)")
        }
    }

    private func notTheProtocol(_ reason: String) -> ClientError {
        ClientError(socket: socket, .notTheProtocol(reason))
    }
}
