import ChaosModel
import Signatures
import Testing

struct KeyTests {
    @Test func `verifies and repeats the Ed25519 signature of RFC 8037`() throws {
        let key = try PrivateKey(jwk: Vectors.ed25519)
        let signature = try #require(Base64URL.decode(Vectors.ed25519Signature))
        let bytes = Array(Vectors.ed25519SigningInput.utf8)
        #expect(try key.publicKey.verifies(signature, of: bytes))
        #expect(try key.signature(of: bytes) == signature)
    }

    @Test func `verifies the P-256 signature of RFC 7515`() throws {
        let key = try PublicKey(jwk: Vectors.p256.with([("d", nil)]))
        let signature = try #require(Base64URL.decode(Vectors.p256Signature))
        #expect(try key.verifies(signature, of: Array(Vectors.p256SigningInput.utf8)))
    }

    @Test func `is called by the thumbprint of RFC 7638 when it has no name`() throws {
        #expect(try PrivateKey(jwk: Vectors.ed25519).publicKey.id == Vectors.ed25519Thumbprint)
        let named = try PublicKey(jwk: Vectors.ed25519.with([("d", nil), ("kid", "acme-1")]))
        #expect(named.id == "acme-1")
        #expect(try named.thumbprint == Vectors.ed25519Thumbprint)
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `a new key signs, and survives being written down`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm)
        let again = try PrivateKey(jwk: JSON(parsing: key.jwk.text))
        let reader = try PublicKey(jwk: JSON(parsing: key.publicKey.jwk.text))
        for count in 0..<64 {
            let bytes = [UInt8](repeating: UInt8(count), count: count)
            let signature = try again.signature(of: bytes)
            #expect(signature.count == 64)
            #expect(try reader.verifies(signature, of: bytes))
            #expect(try !reader.verifies(signature, of: bytes + [0]))
        }
        #expect(reader.id == key.publicKey.id)
        #expect(key.publicKey.jwk["d"] == nil)
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `refuses a signature with any bit changed`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm)
        let bytes = Array("the bytes".utf8)
        let signature = try key.signature(of: bytes)
        for bit in 0..<signature.count * 8 {
            var changed = signature
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(try !key.publicKey.verifies(changed, of: bytes))
        }
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `refuses signatures that are none`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm).publicKey
        for byte in [0x00, 0xFF] as [UInt8] {
            for count in [0, 1, 32, 63, 64, 65, 72, 1000] {
                #expect(try !key.verifies([UInt8](repeating: byte, count: count), of: []))
            }
        }
    }

    @Test func `refuses the signature of another key`() throws {
        for algorithm in SignatureAlgorithm.allCases {
            let signature = try PrivateKey(generating: algorithm).signature(of: [1])
            for other in SignatureAlgorithm.allCases {
                #expect(try !PrivateKey(generating: other).publicKey.verifies(signature, of: [1]))
            }
        }
    }

    @Test func `refuses a point that is not on the curve, and says what the library says`() {
        let zero = JSON.string(Base64URL.encode([UInt8](repeating: 0, count: 32)))
        let wrong = Vectors.p256.with([("d", nil), ("y", zero)])
        #expect {
            try PublicKey(jwk: wrong)
        } throws: { error in
            guard case .refusedByLibrary(let error)? = error as? JWKError else { return false }
            return "\(error)".contains("point is not on curve")
        }
    }

    @Test func `refuses a private key that is not of its public one`() throws {
        for (vector, algorithm) in [(Vectors.ed25519, SignatureAlgorithm.edDSA), (Vectors.p256, .es256)] {
            let other = try PrivateKey(generating: algorithm).jwk
            #expect(throws: JWKError.self) { try PrivateKey(jwk: vector.with([("d", other["d"])])) }
        }
    }

    @Test func `refuses a private key where a public one belongs`() {
        #expect(throws: JWKError.privateKeyPresent) { try PublicKey(jwk: Vectors.ed25519) }
        #expect(throws: JWKError.privateKeyPresent) { try PublicKey(jwk: Vectors.p256.with([("d", .null)])) }
    }

    @Test(
        arguments: [
            ([("kty", "RSA")], .unsupported("key type \"RSA\"")),
            ([("kty", "oct")], .unsupported("key type \"oct\"")),
            ([("kty", "EC")], .unsupported("curve \"Ed25519\" of key type \"EC\"")),
            ([("crv", "X25519")], .unsupported("curve \"X25519\" of key type \"OKP\"")),
            ([("crv", "Ed448")], .unsupported("curve \"Ed448\" of key type \"OKP\"")),
            ([("kty", nil)], .missing("kty")),
            ([("crv", 7)], .invalid("crv", reason: "is integer, not a string")),
            ([("x", nil)], .missing("x")),
            ([("x", "AAAA")], .invalid("x", reason: "is 3 bytes, not 32")),
            (
                [("x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")],
                .invalid("x", reason: "is not base64url without padding")
            ),
            ([("alg", "ES256")], .invalid("alg", reason: "is not EdDSA, which is what such a key is for")),
            ([("alg", "none")], .invalid("alg", reason: "is not EdDSA, which is what such a key is for")),
            ([("use", "enc")], .invalid("use", reason: "is not \"sig\"")),
            ([("key_ops", ["sign"])], .invalid("key_ops", reason: "does not contain \"verify\"")),
            ([("kid", "")], .invalid("kid", reason: "is not 1 to 128 visible ASCII characters")),
            ([("kid", "a b")], .invalid("kid", reason: "is not 1 to 128 visible ASCII characters")),
            ([("kid", "\u{212A}")], .invalid("kid", reason: "is not 1 to 128 visible ASCII characters")),
        ] as [([(String, JSON?)], JWKError)])
    func `refuses keys of other kinds, for other uses, or malformed`(changes: [(String, JSON?)], error: JWKError) {
        #expect(throws: error) { try PublicKey(jwk: Vectors.ed25519.with([("d", nil)] + changes)) }
    }

    @Test func `accepts what says that it is for verifying, and members that it does not know`() throws {
        let jwk = Vectors.ed25519.with([
            ("d", nil), ("use", "sig"), ("alg", "EdDSA"), ("key_ops", ["verify"]), ("note", "the first"),
        ])
        #expect(try PublicKey(jwk: jwk).algorithm == .edDSA)
    }
}
