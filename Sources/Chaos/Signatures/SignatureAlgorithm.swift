/// How a token may be signed. The raw value is the `alg` of RFC 7515. A key has exactly one algorithm.
package enum SignatureAlgorithm: String, CaseIterable, Sendable {
    /// Ed25519 (RFC 8037).
    case edDSA = "EdDSA"
    /// ECDSA on P-256 with SHA-256 (RFC 7518).
    case es256 = "ES256"

    /// Bytes of a field element, and so of a coordinate and of a private key; a signature is two of them.
    static let fieldLength = 32
    static let signatureLength = 2 * fieldLength
}
