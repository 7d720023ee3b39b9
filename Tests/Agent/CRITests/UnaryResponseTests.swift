import CRI
import NIOCore
import NIOHPACK
import Testing

/// The answer to a unary call, piece by piece as it may arrive.
struct UnaryResponseTests {
    private let head: HPACKHeaders = [":status": "200", "content-type": "application/grpc+proto"]
    private let trailers: HPACKHeaders = ["grpc-status": "0"]

    private func failure(_ body: (inout UnaryResponse) throws(CallFailure) -> Void) -> CallFailure? {
        var response = UnaryResponse()
        do throws(CallFailure) {
            try body(&response)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a message may be cut anywhere`() throws {
        var response = UnaryResponse()
        #expect(try response.receive(head, endsStream: false) == nil)
        for byte in [0, 0, 0, 0, 3, 7, 8, 9] as [UInt8] {
            try response.receive(ByteBuffer(bytes: [byte]), endsStream: false)
        }
        #expect(try response.receive(trailers, endsStream: true) == ByteBuffer(bytes: [7, 8, 9]))
    }

    @Test func `an empty message is a message`() throws {
        var response = UnaryResponse()
        #expect(try response.receive(head, endsStream: false) == nil)
        try response.receive(ByteBuffer(bytes: [0, 0, 0, 0, 0]), endsStream: false)
        #expect(try response.receive(trailers, endsStream: true) == ByteBuffer())
    }

    @Test func `trailers alone tell a failure, percent-decoded`() {
        let headers: HPACKHeaders = [
            ":status": "200", "content-type": "application/grpc", "grpc-status": "5",
            "grpc-message": "no %22caf%C3%A9%22 at 100% %zz",
        ]
        let found = failure { response throws(CallFailure) in _ = try response.receive(headers, endsStream: true) }
        #expect(found == .status(code: 5, message: #"no "café" at 100% %zz"#))
    }

    @Test(
        arguments: [
            ([":status": "502", "content-type": "text/html"], "HTTP status 502"),
            ([":status": "200", "content-type": "text/html"], #"content type "text/html""#),
            ([":status": "200"], #"content type """#),
        ] as [(HPACKHeaders, String)])
    func `headers that are not gRPC's are refused`(headers: HPACKHeaders, reason: String) {
        let found = failure { response throws(CallFailure) in _ = try response.receive(headers, endsStream: false) }
        #expect(found == .malformed(reason))
    }

    @Test(
        arguments: [
            ([1, 0, 0, 0, 1, 7], "a compressed message, which was not asked for"),
            ([0, 0xFF, 0xFF, 0xFF, 0xFF], "a message of 4294967295 bytes"),
            ([0, 1, 0, 0, 1], "a message of 16777217 bytes"),
            ([0, 0, 0, 0, 1, 7, 0], "more than one message"),
        ] as [([UInt8], String)])
    func `data that is not one plain message is refused`(bytes: [UInt8], reason: String) {
        let found = failure { response throws(CallFailure) in
            _ = try response.receive(head, endsStream: false)
            try response.receive(ByteBuffer(bytes: bytes), endsStream: false)
        }
        #expect(found == .malformed(reason))
    }

    @Test(arguments: [[], [0, 0, 0], [0, 0, 0, 0, 2, 7]] as [[UInt8]])
    func `an answer that ends early is refused`(bytes: [UInt8]) {
        let found = failure { response throws(CallFailure) in
            _ = try response.receive(head, endsStream: false)
            try response.receive(ByteBuffer(bytes: bytes), endsStream: false)
            _ = try response.receive(trailers, endsStream: true)
        }
        #expect(found == .malformed("the answer ended amid its message"))
    }

    @Test func `an answer without a status is refused`() {
        let found = failure { response throws(CallFailure) in
            _ = try response.receive(head, endsStream: false)
            try response.receive(ByteBuffer(bytes: [0, 0, 0, 0, 0]), endsStream: true)
        }
        #expect(found == .malformed("the answer ended without a status"))
    }
}
