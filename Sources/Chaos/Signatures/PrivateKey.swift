internal import CLibcrypto
package import ChaosModel

/// A key that signs. Only clients have one.
package struct PrivateKey: Sendable {
    package let publicKey: PublicKey
    private let handle: KeyHandle

    /// A new key; without an identifier it is called by its thumbprint.
    package init(generating algorithm: SignatureAlgorithm, id: String? = nil) throws(CryptoError) {
        handle = try KeyHandle(generating: algorithm)
        let coordinates: [[UInt8]]
        switch algorithm {
        case .edDSA:
            coordinates = [try handle.ed25519Public]
        case .es256:
            coordinates = [
                try handle.p256Number(OSSL_PKEY_PARAM_EC_PUB_X), try handle.p256Number(OSSL_PKEY_PARAM_EC_PUB_Y),
            ]
        }
        publicKey = try PublicKey(handle: handle, algorithm: algorithm, coordinates: coordinates, id: id)
    }

    /// - Throws: Also when the public part is not that of the private one.
    package init(jwk: JSON) throws(JWKError) {
        let algorithm = try JWK.algorithm(of: jwk, forUse: "sign")
        let coordinates = try JWK.coordinates(of: jwk, algorithm)
        let secret = try JWK.fieldElement("d", of: jwk)
        let id = try JWK.keyID(of: jwk)
        do throws(CryptoError) {
            switch algorithm {
            case .edDSA: handle = try KeyHandle(ed25519Private: secret)
            case .es256: handle = try KeyHandle(p256Point: coordinates[0], coordinates[1], privateKey: secret)
            }
            if algorithm == .edDSA, try handle.ed25519Public != coordinates[0] {
                throw CryptoError("comparing x with the public key of d")
            }
            publicKey = try PublicKey(handle: handle, algorithm: algorithm, coordinates: coordinates, id: id)
        } catch {
            throw .refusedByLibrary(error)
        }
    }

    /// With the private part: for a file that nobody else may read.
    package var jwk: JSON {
        get throws(CryptoError) {
            let secret: [UInt8]
            switch publicKey.algorithm {
            case .edDSA: secret = try handle.ed25519Private
            case .es256: secret = try handle.p256Number(OSSL_PKEY_PARAM_PRIV_KEY)
            }
            return .object((publicKey.jwk.members ?? []) + [JSON.Member("d", .string(Base64URL.encode(secret)))])
        }
    }

    /// The corresponding call is `EVP_DigestSign`.
    package func signature(of bytes: [UInt8]) throws(CryptoError) -> [UInt8] {
        let context = try DigestContext()
        try cryptoCall("EVP_DigestSignInit") {
            EVP_DigestSignInit(context.raw, nil, publicKey.algorithm.digest, nil, handle.raw)
        }
        var length = 0
        try cryptoCall("EVP_DigestSign") { EVP_DigestSign(context.raw, nil, &length, bytes, bytes.count) }
        var signature = [UInt8](repeating: 0, count: length)
        try cryptoCall("EVP_DigestSign") { EVP_DigestSign(context.raw, &signature, &length, bytes, bytes.count) }
        signature.removeLast(signature.count - length)
        switch publicKey.algorithm {
        case .edDSA: return signature
        case .es256: return try ECDSASignature.numbers(ofDER: signature)
        }
    }
}
