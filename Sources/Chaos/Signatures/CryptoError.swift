internal import CLibcrypto

/// A call of libcrypto that failed, with the reasons that the library gives.
package struct CryptoError: Error, Hashable, Sendable, CustomStringConvertible {
    package let call: String
    /// The first is the deepest.
    package let reasons: [String]

    /// Empties the calling thread's queue of errors into this one.
    init(_ call: String) {
        self.call = call
        self.reasons = Self.takeReasons()
    }

    package var description: String {
        reasons.isEmpty ? "\(call) failed" : "\(call): \(reasons.joined(separator: "; "))"
    }

    private static func takeReasons() -> [String] {
        var reasons: [String] = []
        var text = [CChar](repeating: 0, count: 256)
        while true {
            let code = ERR_get_error()
            if code == 0 { return reasons }
            ERR_error_string_n(code, &text, text.count)
            let bytes = text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
            reasons.append(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// The result of a libcrypto call that answers 1 for success.
func cryptoCall(_ name: String, _ body: () -> Int32) throws(CryptoError) {
    // An error that an earlier call of this thread left behind is not this call's.
    ERR_clear_error()
    if body() != 1 { throw CryptoError(name) }
}

/// The result of a libcrypto call that answers an object, or NULL.
func cryptoObject(_ name: String, _ body: () -> OpaquePointer?) throws(CryptoError) -> OpaquePointer {
    ERR_clear_error()
    guard let object = body() else { throw CryptoError(name) }
    return object
}
