internal import CLibcrypto
package import ChaosModel

/// A key that can only verify. It has one algorithm, whatever a token says.
package struct PublicKey: Sendable {
    /// The `kid`: what tokens call this key.
    package let id: String
    package let algorithm: SignatureAlgorithm
    /// The point as a JWK has it: `x`, and `y` for P-256.
    private let coordinates: [[UInt8]]
    private let handle: KeyHandle

    init(handle: KeyHandle, algorithm: SignatureAlgorithm, coordinates: [[UInt8]], id: String?) throws(CryptoError) {
        self.handle = handle
        self.algorithm = algorithm
        self.coordinates = coordinates
        if let id {
            self.id = id
        } else {
            self.id = try JWK.thumbprint(of: JWK.publicMembers(algorithm, coordinates))
        }
    }

    /// A key without `kid` is called by its thumbprint (RFC 7638).
    ///
    /// - Throws: Also for a private key: a place for public keys must not hold one.
    package init(jwk: JSON) throws(JWKError) {
        guard jwk["d"] == nil else { throw .privateKeyPresent }
        let algorithm = try JWK.algorithm(of: jwk, forUse: "verify")
        let coordinates = try JWK.coordinates(of: jwk, algorithm)
        let id = try JWK.keyID(of: jwk)
        do throws(CryptoError) {
            let handle: KeyHandle
            switch algorithm {
            case .edDSA: handle = try KeyHandle(ed25519Public: coordinates[0])
            case .es256: handle = try KeyHandle(p256Point: coordinates[0], coordinates[1])
            }
            try self.init(handle: handle, algorithm: algorithm, coordinates: coordinates, id: id)
        } catch {
            throw .refusedByLibrary(error)
        }
    }

    package var jwk: JSON {
        .object(
            JWK.publicMembers(algorithm, coordinates) + [
                JSON.Member("kid", .string(id)), JSON.Member("alg", .string(algorithm.rawValue)),
                JSON.Member("use", "sig"),
            ])
    }

    /// The RFC 7638 thumbprint with SHA-256.
    package var thumbprint: String {
        get throws(CryptoError) { try JWK.thumbprint(of: JWK.publicMembers(algorithm, coordinates)) }
    }

    /// Whether the holder of the private key has signed these bytes.
    ///
    /// - Throws: When the library cannot tell, as without memory.
    ///
    /// The corresponding call is `EVP_DigestVerify`.
    package func verifies(_ signature: [UInt8], of bytes: [UInt8]) throws(CryptoError) -> Bool {
        guard signature.count == SignatureAlgorithm.signatureLength else { return false }
        let encoded: [UInt8]
        switch algorithm {
        case .edDSA: encoded = signature
        case .es256: encoded = try ECDSASignature.der(ofNumbers: signature)
        }
        let context = try DigestContext()
        try cryptoCall("EVP_DigestVerifyInit") {
            EVP_DigestVerifyInit(context.raw, nil, algorithm.digest, nil, handle.raw)
        }
        // 0 and negative numbers both say no: the first of the equation, the others of its form.
        let answer = EVP_DigestVerify(context.raw, encoded, encoded.count, bytes, bytes.count)
        ERR_clear_error()
        return answer == 1
    }
}

extension SignatureAlgorithm {
    /// Ed25519 hashes by itself.
    var digest: OpaquePointer? {
        switch self {
        case .edDSA: nil
        case .es256: EVP_sha256()
        }
    }
}

/// One computation of a digest or a signature.
///
/// The corresponding type is `EVP_MD_CTX`.
struct DigestContext: ~Copyable {
    let raw: OpaquePointer

    init() throws(CryptoError) {
        raw = try cryptoObject("EVP_MD_CTX_new") { EVP_MD_CTX_new() }
    }

    deinit {
        EVP_MD_CTX_free(raw)
    }
}
