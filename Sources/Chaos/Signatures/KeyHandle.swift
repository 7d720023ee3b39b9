internal import CLibcrypto

/// A key as libcrypto holds it, freed with its last owner. It is never changed once made,
/// so threads may share it.
///
/// The corresponding type is `EVP_PKEY`.
final class KeyHandle: Sendable {
    nonisolated(unsafe) let raw: OpaquePointer

    init(adopting raw: OpaquePointer) {
        self.raw = raw
    }

    deinit {
        EVP_PKEY_free(raw)
    }
}

extension KeyHandle {
    convenience init(ed25519Public bytes: [UInt8]) throws(CryptoError) {
        self.init(
            adopting: try cryptoObject("EVP_PKEY_new_raw_public_key") {
                EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count)
            })
    }

    convenience init(ed25519Private bytes: [UInt8]) throws(CryptoError) {
        self.init(
            adopting: try cryptoObject("EVP_PKEY_new_raw_private_key") {
                EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, bytes, bytes.count)
            })
    }

    /// - Throws: Also when the point is not on the curve.
    convenience init(p256Point x: [UInt8], _ y: [UInt8]) throws(CryptoError) {
        let curve = try KeyContext(algorithm: "EC")
        try cryptoCall("EVP_PKEY_paramgen_init") { EVP_PKEY_paramgen_init(curve.raw) }
        try cryptoCall("EVP_PKEY_CTX_set_group_name") { EVP_PKEY_CTX_set_group_name(curve.raw, "P-256") }
        var raw: OpaquePointer?
        try cryptoCall("EVP_PKEY_paramgen") { EVP_PKEY_paramgen(curve.raw, &raw) }
        guard let raw else { throw CryptoError("EVP_PKEY_paramgen") }
        self.init(adopting: raw)
        let point = P256Encoding.point(x, y)
        try cryptoCall("EVP_PKEY_set1_encoded_public_key") {
            EVP_PKEY_set1_encoded_public_key(raw, point, point.count)
        }
        let context = try KeyContext(of: self)
        try cryptoCall("EVP_PKEY_public_check") { EVP_PKEY_public_check(context.raw) }
    }

    /// - Throws: Also when the point is not that of the private key.
    convenience init(p256Point x: [UInt8], _ y: [UInt8], privateKey: [UInt8]) throws(CryptoError) {
        let encoded = P256Encoding.privateKey(privateKey, x, y)
        let raw = try encoded.withUnsafeBufferPointer { bytes throws(CryptoError) in
            var start = bytes.baseAddress
            return try cryptoObject("d2i_PrivateKey") { d2i_PrivateKey(EVP_PKEY_EC, nil, &start, bytes.count) }
        }
        self.init(adopting: raw)
        let context = try KeyContext(of: self)
        try cryptoCall("EVP_PKEY_check") { EVP_PKEY_check(context.raw) }
    }

    /// A new key pair from the library's random numbers.
    convenience init(generating algorithm: SignatureAlgorithm) throws(CryptoError) {
        let context = try KeyContext(algorithm: algorithm == .edDSA ? "ED25519" : "EC")
        try cryptoCall("EVP_PKEY_keygen_init") { EVP_PKEY_keygen_init(context.raw) }
        if algorithm == .es256 {
            try cryptoCall("EVP_PKEY_CTX_set_group_name") { EVP_PKEY_CTX_set_group_name(context.raw, "P-256") }
        }
        var raw: OpaquePointer?
        try cryptoCall("EVP_PKEY_generate") { EVP_PKEY_generate(context.raw, &raw) }
        guard let raw else { throw CryptoError("EVP_PKEY_generate") }
        self.init(adopting: raw)
    }
}

extension KeyHandle {
    var ed25519Public: [UInt8] {
        get throws(CryptoError) {
            var bytes = [UInt8](repeating: 0, count: SignatureAlgorithm.fieldLength)
            var length = bytes.count
            try cryptoCall("EVP_PKEY_get_raw_public_key") { EVP_PKEY_get_raw_public_key(raw, &bytes, &length) }
            return bytes
        }
    }

    var ed25519Private: [UInt8] {
        get throws(CryptoError) {
            var bytes = [UInt8](repeating: 0, count: SignatureAlgorithm.fieldLength)
            var length = bytes.count
            try cryptoCall("EVP_PKEY_get_raw_private_key") { EVP_PKEY_get_raw_private_key(raw, &bytes, &length) }
            return bytes
        }
    }

    /// - Parameter name: `OSSL_PKEY_PARAM_EC_PUB_X`, `…_PUB_Y` or `OSSL_PKEY_PARAM_PRIV_KEY`.
    func p256Number(_ name: String) throws(CryptoError) -> [UInt8] {
        var raw: OpaquePointer?
        try cryptoCall("EVP_PKEY_get_bn_param \(name)") { EVP_PKEY_get_bn_param(self.raw, name, &raw) }
        guard let raw else { throw CryptoError("EVP_PKEY_get_bn_param \(name)") }
        defer { BN_clear_free(raw) }
        return try fieldElement(of: raw)
    }
}

/// What libcrypto needs to work on a key.
///
/// The corresponding type is `EVP_PKEY_CTX`.
private struct KeyContext: ~Copyable {
    let raw: OpaquePointer

    init(algorithm: String) throws(CryptoError) {
        raw = try cryptoObject("EVP_PKEY_CTX_new_from_name") { EVP_PKEY_CTX_new_from_name(nil, algorithm, nil) }
    }

    init(of key: KeyHandle) throws(CryptoError) {
        raw = try cryptoObject("EVP_PKEY_CTX_new_from_pkey") { EVP_PKEY_CTX_new_from_pkey(nil, key.raw, nil) }
    }

    deinit {
        EVP_PKEY_CTX_free(raw)
    }
}

/// P-256 keys in bytes.
private enum P256Encoding {
    /// Uncompressed (SEC 1, section 2.3.3).
    static func point(_ x: [UInt8], _ y: [UInt8]) -> [UInt8] { [0x04] + x + y }

    /// `ECPrivateKey` (RFC 5915): SEQUENCE { 1, OCTET STRING, [0] prime256v1, [1] BIT STRING { point } }, in DER.
    /// All fields have fixed lengths, so the bytes between them are always the same.
    static func privateKey(_ privateKey: [UInt8], _ x: [UInt8], _ y: [UInt8]) -> [UInt8] {
        [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20] + privateKey
            + [0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
            + [0xA1, 0x44, 0x03, 0x42, 0x00] + point(x, y)
    }
}
