internal import CLibcrypto

/// An ECDSA signature on P-256 in its two forms: tokens carry r and s at full length, libcrypto wants DER.
enum ECDSASignature {
    /// - Parameter bytes: Both numbers at full length: `SignatureAlgorithm.signatureLength` bytes.
    static func der(ofNumbers bytes: [UInt8]) throws(CryptoError) -> [UInt8] {
        let signature = try cryptoObject("ECDSA_SIG_new") { ECDSA_SIG_new() }
        defer { ECDSA_SIG_free(signature) }
        let half = SignatureAlgorithm.fieldLength
        let r = try cryptoObject("BN_bin2bn") { BN_bin2bn(Array(bytes[..<half]), Int32(half), nil) }
        let s = try cryptoObject("BN_bin2bn") { BN_bin2bn(Array(bytes[half...]), Int32(half), nil) }
        // Takes both numbers over.
        try cryptoCall("ECDSA_SIG_set0") { ECDSA_SIG_set0(signature, r, s) }
        var encoded: UnsafeMutablePointer<UInt8>?
        let length = i2d_ECDSA_SIG(signature, &encoded)
        guard length > 0, let encoded else { throw CryptoError("i2d_ECDSA_SIG") }
        defer { CRYPTO_free(encoded, #file, #line) }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(length)))
    }

    static func numbers(ofDER der: [UInt8]) throws(CryptoError) -> [UInt8] {
        let signature = try der.withUnsafeBufferPointer { der throws(CryptoError) in
            var start = der.baseAddress
            return try cryptoObject("d2i_ECDSA_SIG") { d2i_ECDSA_SIG(nil, &start, der.count) }
        }
        defer { ECDSA_SIG_free(signature) }
        var r: OpaquePointer?
        var s: OpaquePointer?
        ECDSA_SIG_get0(signature, &r, &s)
        guard let r, let s else { throw CryptoError("ECDSA_SIG_get0") }
        return try fieldElement(of: r) + fieldElement(of: s)
    }
}

/// A number of libcrypto below the field's size, big endian, at its full length.
///
/// The corresponding call is `BN_bn2binpad`.
func fieldElement(of number: OpaquePointer) throws(CryptoError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: SignatureAlgorithm.fieldLength)
    let count = BN_bn2binpad(number, &bytes, Int32(bytes.count))
    guard count == Int32(bytes.count) else { throw CryptoError("BN_bn2binpad") }
    return bytes
}
