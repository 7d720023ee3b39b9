internal import CLibcrypto
internal import ChaosModel

/// Why a JSON Web Key is not accepted.
package enum JWKError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAnObject(String)
    case missing(String)
    case invalid(String, reason: String)
    case unsupported(String)
    /// A private key where a public one belongs.
    case privateKeyPresent
    case refusedByLibrary(CryptoError)

    package var description: String {
        switch self {
        case .notAnObject(let type): "a key is an object, not \(type)"
        case .missing(let name): "member \"\(name)\" is missing"
        case .invalid(let name, let reason): "member \"\(name)\" \(reason)"
        case .unsupported(let what): "\(what) is not supported: use OKP with Ed25519, or EC with P-256"
        case .privateKeyPresent: "holds a private key (member \"d\"): publish the public key only, and make a new pair"
        case .refusedByLibrary(let error): "not a usable key: \(error)"
        }
    }
}

/// The members of a JSON Web Key (RFC 7517, 7518, 8037), of the two kinds of key that are accepted.
enum JWK {
    /// A key that says what it is for must say that it is for this.
    static func algorithm(of jwk: JSON, forUse operation: String) throws(JWKError) -> SignatureAlgorithm {
        guard jwk.members != nil else { throw .notAnObject(jwk.typeName) }
        let type = try text("kty", of: jwk)
        guard type == "OKP" || type == "EC" else { throw .unsupported("key type \"\(type)\"") }
        let algorithm: SignatureAlgorithm
        switch (type, try text("crv", of: jwk)) {
        case ("OKP", "Ed25519"): algorithm = .edDSA
        case ("EC", "P-256"): algorithm = .es256
        case (_, let curve): throw .unsupported("curve \"\(curve)\" of key type \"\(type)\"")
        }
        if let named = jwk["alg"], named != .string(algorithm.rawValue) {
            throw .invalid("alg", reason: "is not \(algorithm.rawValue), which is what such a key is for")
        }
        if let use = jwk["use"], use != "sig" { throw .invalid("use", reason: "is not \"sig\"") }
        if let operations = jwk["key_ops"], operations.arrayValue?.contains(.string(operation)) != true {
            throw .invalid("key_ops", reason: "does not contain \"\(operation)\"")
        }
        return algorithm
    }

    static func coordinates(of jwk: JSON, _ algorithm: SignatureAlgorithm) throws(JWKError) -> [[UInt8]] {
        switch algorithm {
        case .edDSA: [try fieldElement("x", of: jwk)]
        case .es256: [try fieldElement("x", of: jwk), try fieldElement("y", of: jwk)]
        }
    }

    static func fieldElement(_ name: String, of jwk: JSON) throws(JWKError) -> [UInt8] {
        guard let bytes = Base64URL.decode(try text(name, of: jwk)) else {
            throw .invalid(name, reason: "is not base64url without padding")
        }
        guard bytes.count == SignatureAlgorithm.fieldLength else {
            throw .invalid(name, reason: "is \(bytes.count) bytes, not \(SignatureAlgorithm.fieldLength)")
        }
        return bytes
    }

    static func keyID(of jwk: JSON) throws(JWKError) -> String? {
        guard jwk["kid"] != nil else { return nil }
        let id = try text("kid", of: jwk)
        guard isKeyID(id) else { throw .invalid("kid", reason: "is not 1 to 128 visible ASCII characters") }
        return id
    }

    /// ASCII only: Swift's strings compare equal when they merely look equal.
    static func isKeyID(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// The members that the thumbprint is made of, in its order.
    static func publicMembers(_ algorithm: SignatureAlgorithm, _ coordinates: [[UInt8]]) -> [JSON.Member] {
        let fixed: [JSON.Member] =
            switch algorithm {
            case .edDSA: [JSON.Member("crv", "Ed25519"), JSON.Member("kty", "OKP")]
            case .es256: [JSON.Member("crv", "P-256"), JSON.Member("kty", "EC")]
            }
        return fixed + zip(["x", "y"], coordinates).map { JSON.Member($0, .string(Base64URL.encode($1))) }
    }

    static func thumbprint(of members: [JSON.Member]) throws(CryptoError) -> String {
        Base64URL.encode(try SHA256.digest(of: JSON.object(members).bytes))
    }

    private static func text(_ name: String, of jwk: JSON) throws(JWKError) -> String {
        guard let value = jwk[name] else { throw .missing(name) }
        guard let text = value.stringValue else { throw .invalid(name, reason: "is \(value.typeName), not a string") }
        return text
    }
}
