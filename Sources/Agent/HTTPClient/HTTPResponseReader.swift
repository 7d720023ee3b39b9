/// Takes an HTTP/1.1 response apart as its bytes arrive (RFC 9112), the body by length, in chunks, or up to the
/// end of the connection.
package struct HTTPResponseReader {
    private enum State {
        case statusLine
        case headers
        case body(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
        case bodyUntilClose
        case complete
    }

    private static let longestLine = 16384
    private static let mostHeaders = 100

    /// Nil until its line is read.
    package private(set) var status: Int?
    private var state = State.statusLine
    private var buffer: ArraySlice<UInt8> = []
    private var body: [UInt8] = []
    /// Names in lower case.
    package private(set) var headers: [(name: String, value: String)] = []
    private var contentLength: Int?
    private var isChunked = false
    private let isHead: Bool

    package var isComplete: Bool {
        if case .complete = state { return true }
        return false
    }

    package mutating func append(_ bytes: [UInt8]) throws(HTTPError) {
        buffer += bytes
        while try step() {}
    }

    /// The connection has ended.
    package mutating func finish() {
        if case .bodyUntilClose = state { state = .complete }
    }

    /// What has arrived of the body and has not been taken.
    package mutating func takeBody() -> [UInt8] {
        defer { body = [] }
        return body
    }

    /// False when it needs more bytes.
    private mutating func step() throws(HTTPError) -> Bool {
        switch state {
        case .statusLine:
            guard let line = try takeLine() else { return false }
            try readStatus(line)
            state = .headers
        case .headers:
            guard let line = try takeLine() else { return false }
            if line.isEmpty { state = try stateAfterHeaders() } else { try readHeader(line) }
        case .body(let left):
            guard left > 0 else { return complete() }
            guard let count = moveToBody(atMost: left) else { return false }
            state = .body(left: left - count)
        case .chunkSize:
            guard let line = try takeLine() else { return false }
            let digits = line.prefix { $0 != ";" }
            guard let size = Int(digits, radix: 16), size >= 0, digits.utf8.count <= 8 else {
                throw HTTPError(reason: "malformed chunk size")
            }
            state = size == 0 ? .trailers : .chunk(left: size)
        case .chunk(let left):
            guard left > 0 else {
                state = .chunkEnd
                return true
            }
            guard let count = moveToBody(atMost: left) else { return false }
            state = .chunk(left: left - count)
        case .chunkEnd:
            guard let line = try takeLine() else { return false }
            guard line.isEmpty else { throw HTTPError(reason: "a chunk is longer than it said") }
            state = .chunkSize
        case .trailers:
            guard let line = try takeLine() else { return false }
            if line.isEmpty { return complete() }
        case .bodyUntilClose:
            return moveToBody(atMost: buffer.count) != nil
        case .complete:
            return false
        }
        return true
    }

    private mutating func complete() -> Bool {
        state = .complete
        return false
    }

    private mutating func moveToBody(atMost limit: Int) -> Int? {
        guard !buffer.isEmpty else { return nil }
        let bytes = buffer.prefix(limit)
        body += bytes
        buffer.removeFirst(bytes.count)
        return bytes.count
    }

    private mutating func takeLine() throws(HTTPError) -> String? {
        guard let end = buffer.firstIndex(of: 0x0A) else {
            guard buffer.count <= Self.longestLine else { throw HTTPError(reason: "a line has no end") }
            return nil
        }
        var line = buffer[..<end]
        buffer = buffer[(end + 1)...]
        if line.last == 0x0D { line.removeLast() }
        guard let text = String(validating: line, as: UTF8.self) else {
            throw HTTPError(reason: "a header is not text")
        }
        return text
    }

    private mutating func readStatus(_ line: String) throws(HTTPError) {
        let parts = line.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].utf8.count == 3,
            let status = Int(parts[1]), (100...599).contains(status)
        else { throw HTTPError(reason: "no HTTP/1.1 status line") }
        self.status = status
    }

    private mutating func readHeader(_ line: String) throws(HTTPError) {
        guard headers.count < Self.mostHeaders else { throw HTTPError(reason: "more than \(Self.mostHeaders) headers") }
        guard let colon = line.firstIndex(of: ":") else { throw HTTPError(reason: "a header without ':'") }
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        let name = line[..<colon].lowercased()
        headers.append((name, String(value)))
        switch name {
        case "content-length":
            guard let length = Int(value.split(separator: " ").first ?? ""), length >= 0,
                length == contentLength ?? length
            else { throw HTTPError(reason: "malformed Content-Length") }
            contentLength = length
        case "transfer-encoding":
            guard value.lowercased() == "chunked" else { throw HTTPError(reason: "transfer encoding \(value)") }
            isChunked = true
        default: break
        }
    }

    private mutating func stateAfterHeaders() throws(HTTPError) -> State {
        guard let status else { throw HTTPError(reason: "no HTTP/1.1 status line") }
        // An interim response: the real one follows.
        if status < 200 {
            self = HTTPResponseReader(continuing: buffer, isHead)
            return .statusLine
        }
        if isHead || status == 204 || status == 304 { return .complete }
        if isChunked { return .chunkSize }
        if let contentLength { return .body(left: contentLength) }
        return .bodyUntilClose
    }

    /// - Parameter toHEAD: Whether there is no body, whatever the headers say.
    package init(toHEAD isHead: Bool = false) { self.isHead = isHead }

    private init(continuing buffer: ArraySlice<UInt8>, _ isHead: Bool) {
        self.isHead = isHead
        self.buffer = buffer
    }
}
