internal import CLibcrypto

/// The digest of FIPS 180-4.
package enum SHA256 {
    /// In 64 hexadecimal digits.
    ///
    /// - Throws: When the library cannot, as without memory.
    ///
    /// The corresponding call is `EVP_Digest`.
    package static func hex(of bytes: [UInt8]) throws(CryptoError) -> String {
        try digest(of: bytes).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0\(digits)" : digits
        }.joined()
    }

    static func digest(of bytes: [UInt8]) throws(CryptoError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        try cryptoCall("EVP_Digest") { EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) }
        return digest
    }
}
