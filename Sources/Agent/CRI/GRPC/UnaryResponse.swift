package import NIOCore
package import NIOHPACK

/// What a unary call has received so far, as a value. It reads the answer of gRPC over HTTP/2:
///
///     headers  :status 200, content-type application/grpc…
///     data     compressed flag (1 byte), length (4 bytes, big endian), message; cut anywhere
///     headers  grpc-status, grpc-message percent-encoded; ends the stream
///
/// or only the last headers, when the call failed early.
package struct UnaryResponse {
    package static let maximumLength = 16 << 20
    private static let prefixLength = 5

    private var hasBegun = false
    private var body = ByteBuffer()

    package init() {}

    /// The message, when these headers end the call well; nil when more is to come.
    package mutating func receive(_ headers: HPACKHeaders, endsStream: Bool) throws(CallFailure) -> ByteBuffer? {
        if let status = headers.first(name: "grpc-status") {
            guard endsStream, let code = Int(status) else { throw .malformed("malformed trailers") }
            guard code == GRPCStatus.ok else {
                throw .status(code: code, message: percentDecoded(headers.first(name: "grpc-message") ?? ""))
            }
            return try message()
        }
        guard !endsStream else { throw .malformed("the answer ended without a status") }
        guard !hasBegun else { throw .malformed("headers amid the answer") }
        let status = headers.first(name: ":status") ?? ""
        guard status == "200" else { throw .malformed("HTTP status \(status)") }
        let type = headers.first(name: "content-type") ?? ""
        guard type.hasPrefix("application/grpc") else { throw .malformed("content type \(type.debugDescription)") }
        hasBegun = true
        return nil
    }

    package mutating func receive(_ data: ByteBuffer, endsStream: Bool) throws(CallFailure) {
        guard hasBegun else { throw .malformed("data before headers") }
        guard !endsStream else { throw .malformed("the answer ended without a status") }
        body.writeImmutableBuffer(data)
        guard let prefix = try prefix() else { return }
        guard body.readableBytes <= Self.prefixLength + prefix else { throw .malformed("more than one message") }
    }

    private func message() throws(CallFailure) -> ByteBuffer {
        guard let length = try prefix(), body.readableBytes == Self.prefixLength + length,
            let message = body.getSlice(at: body.readerIndex + Self.prefixLength, length: length)
        else { throw .malformed("the answer ended amid its message") }
        return message
    }

    /// The length of the message; nil until it has arrived.
    private func prefix() throws(CallFailure) -> Int? {
        guard let isCompressed: UInt8 = body.getInteger(at: body.readerIndex),
            let length: UInt32 = body.getInteger(at: body.readerIndex + 1)
        else { return nil }
        guard isCompressed == 0 else { throw .malformed("a compressed message, which was not asked for") }
        guard length <= Self.maximumLength else { throw .malformed("a message of \(length) bytes") }
        return Int(length)
    }
}

/// Text of the header `grpc-message`. What is no escape stands for itself.
private func percentDecoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8
    while let byte = rest.popFirst() {
        let digits = rest.prefix(2)
        if byte == UInt8(ascii: "%"), digits.count == 2, let value = UInt8(String(Substring(digits)), radix: 16) {
            bytes.append(value)
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
