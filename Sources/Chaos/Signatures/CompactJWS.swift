package import ChaosModel

/// Why a signed token is not accepted.
package enum JWSError: Error, Hashable, Sendable {
    case malformed(String)
    /// A member of the JOSE header that is not `alg`, `kid` or `typ`.
    case headerMemberRefused(String)
    case algorithmRefused(String)
    case algorithmMismatch(token: SignatureAlgorithm, key: SignatureAlgorithm)
    case signatureInvalid
    case library(CryptoError)
}

/// A signed token in the compact form of RFC 7515, taken apart. Of what it says only the header has been read;
/// the payload comes out only with a key that verifies it.
package struct CompactJWS: Sendable {
    package let algorithm: SignatureAlgorithm
    package let keyID: String
    private let signingInput: [UInt8]
    private let encodedPayload: [UInt8]
    private let signature: [UInt8]

    /// Splits the token and reads its header. Whatever the header could point to (`jku`, `x5u`), bring along
    /// (`jwk`, `x5c`) or demand (`crit`, `b64`) is refused with the member that says so.
    package init(parsing token: some Collection<UInt8>) throws(JWSError) {
        let bytes = Array(token)
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformed("a token has three parts, not \(parts.count)") }
        guard let header = Base64URL.decode(parts[0]) else {
            throw .malformed("header is not base64url without padding")
        }
        guard let signature = Base64URL.decode(parts[2]) else {
            throw .malformed("signature is not base64url without padding")
        }
        (algorithm, keyID) = try Self.read(header: header)
        guard signature.count == SignatureAlgorithm.signatureLength else {
            throw .malformed("signature is \(signature.count) bytes, not \(SignatureAlgorithm.signatureLength)")
        }
        self.signingInput = Array(bytes[..<parts[1].endIndex])
        self.encodedPayload = Array(parts[1])
        self.signature = signature
    }

    /// The payload, if this key's owner has signed it. The key decides the algorithm; the token must agree.
    package func payload(verifiedBy key: PublicKey) throws(JWSError) -> [UInt8] {
        guard algorithm == key.algorithm else { throw .algorithmMismatch(token: algorithm, key: key.algorithm) }
        let isGenuine: Bool
        do throws(CryptoError) {
            isGenuine = try key.verifies(signature, of: signingInput)
        } catch {
            throw .library(error)
        }
        guard isGenuine else { throw .signatureInvalid }
        guard let payload = Base64URL.decode(encodedPayload) else {
            throw .malformed("payload is not base64url without padding")
        }
        return payload
    }

    /// The compact form of a payload signed by this key.
    package static func token(signing payload: JSON, with key: PrivateKey) throws(CryptoError) -> String {
        let header: JSON = [
            "alg": .string(key.publicKey.algorithm.rawValue), "kid": .string(key.publicKey.id), "typ": "JWT",
        ]
        let signingInput = Base64URL.encode(header.bytes) + "." + Base64URL.encode(payload.bytes)
        return try signingInput + "." + Base64URL.encode(key.signature(of: Array(signingInput.utf8)))
    }

    private static func read(header: [UInt8]) throws(JWSError) -> (SignatureAlgorithm, keyID: String) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: header, maximumDepth: 2)
        } catch {
            throw .malformed("header is not JSON: \(error)")
        }
        guard let members = json.members else { throw .malformed("header is \(json.typeName), not an object") }
        let known: Set = ["alg", "kid", "typ"]
        if let refused = members.first(where: { !known.contains($0.name) }) { throw .headerMemberRefused(refused.name) }
        guard let name = json["alg"]?.stringValue else { throw .malformed("header has no \"alg\"") }
        guard let algorithm = SignatureAlgorithm(rawValue: name) else { throw .algorithmRefused(name) }
        guard let keyID = json["kid"]?.stringValue, JWK.isKeyID(keyID) else {
            throw .malformed("header has no \"kid\" of 1 to 128 visible ASCII characters")
        }
        if let type = json["typ"], type != "JWT" { throw .malformed("header's \"typ\" is not \"JWT\"") }
        return (algorithm, keyID)
    }
}
