/// One message between two of the agent's own processes, over a Unix stream socket.
///
///     length  4 bytes, big endian: how many bytes follow (kind and payload), 1 to 1 MiB
///     kind    1 byte
///     payload length - 1 bytes
///
/// A connection carries one request, then its replies, and is closed by the side that replies; but the gateway's to the engine
/// carries one request after another.
/// docs/frames.md describes each kind.
package struct Frame: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        // Requests.
        /// A route and a signed token: `EnvelopeRequest`.
        case envelope = 1
        /// An operator's command, JSON; only from the engine's own user.
        case command = 2
        /// What anybody may ask: the name of a `PublicQuery`.
        case query = 3
        /// A question to the runtimes process, JSON.
        case question = 4
        /// What the gateway serves TLS with: `CredentialsQuery`; only from the gateway's user.
        case credentials = 5

        // Replies.
        /// The only reply: `Answer`.
        case answer = 16
        /// One of several, JSON; more follow.
        case item = 17
        /// No more items. Empty.
        case end = 18
    }

    package static let maximumLength = 1 << 20

    package let kind: Kind
    package let payload: [UInt8]

    package init(_ kind: Kind, _ payload: some Collection<UInt8>) {
        self.kind = kind
        self.payload = Array(payload)
    }

    package var encoded: [UInt8] {
        let length = UInt32(payload.count + 1)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(payload.count + 5)
        for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: length >> shift)) }
        bytes.append(kind.rawValue)
        bytes += payload
        return bytes
    }
}

/// Why bytes are not frames. The connection they came from is of no further use.
package enum FrameError: Error, Hashable, Sendable {
    case badLength(UInt32)
    case unknownKind(UInt8)
}

/// Cuts a stream of bytes into frames, however they arrive.
package struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []

    package init() {}

    package mutating func append(_ bytes: some Collection<UInt8>) {
        buffer.append(contentsOf: bytes)
    }

    /// Whether the stream stands between two frames.
    package var isEmpty: Bool { buffer.isEmpty }

    /// The next whole frame; nil until more bytes arrive.
    package mutating func next() throws(FrameError) -> Frame? {
        guard buffer.count >= 5 else { return nil }
        let length = buffer[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard (1...UInt32(Frame.maximumLength)).contains(length) else { throw .badLength(length) }
        guard let kind = Frame.Kind(rawValue: buffer[4]) else { throw .unknownKind(buffer[4]) }
        let end = 4 + Int(length)
        guard buffer.count >= end else { return nil }
        let frame = Frame(kind, buffer[5..<end])
        // What is empty holds no memory: a connection may rest for long.
        if buffer.count == end { buffer = [] } else { buffer.removeFirst(end) }
        return frame
    }
}
