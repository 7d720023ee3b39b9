import ChaosModel
import Signatures
import Testing

struct CompactJWSTests {
    private let key: PrivateKey

    init() throws {
        key = try PrivateKey(generating: .edDSA, id: "k1")
    }

    private func token(header: String, payload: String = "{}", signature: [UInt8]? = nil) throws -> String {
        let input = Base64URL.encode(header.utf8) + "." + Base64URL.encode(payload.utf8)
        return try input + "." + Base64URL.encode(signature ?? key.signature(of: Array(input.utf8)))
    }

    private func payload(_ token: String) throws -> [UInt8] {
        try CompactJWS(parsing: token.utf8).payload(verifiedBy: key.publicKey)
    }

    @Test(arguments: SignatureAlgorithm.allCases)
    func `gives the payload to who has the key`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm)
        let token = try CompactJWS(parsing: CompactJWS.token(signing: ["a": 1], with: key).utf8)
        #expect(token.keyID == key.publicKey.id)
        #expect(token.algorithm == algorithm)
        #expect(try token.payload(verifiedBy: key.publicKey) == Array(#"{"a":1}"#.utf8))
    }

    @Test func `refuses the token with any bit of any character changed`() throws {
        let token = Array(try CompactJWS.token(signing: ["iss": "acme"], with: key).utf8)
        for index in token.indices {
            for bit in 0..<8 {
                var changed = token
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: JWSError.self) {
                    try CompactJWS(parsing: changed).payload(verifiedBy: key.publicKey)
                }
            }
        }
    }

    @Test func `refuses every beginning of a token`() throws {
        let token = try CompactJWS.token(signing: ["iss": "acme"], with: key)
        for count in 0..<token.utf8.count {
            #expect(throws: JWSError.self) { try payload(String(token.prefix(count))) }
        }
    }

    @Test(arguments: [" ", "\n", ".", "..", "=", "A", "\0"])
    func `refuses anything before or after a token`(extra: String) throws {
        let token = try CompactJWS.token(signing: ["iss": "acme"], with: key)
        #expect(throws: JWSError.self) { try payload(token + extra) }
        #expect(throws: JWSError.self) { try payload(extra + token) }
    }

    @Test(arguments: [
        "jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "cty", "zip", "enc", "iss", "ALG", "",
    ])
    func `refuses headers that bring, point to, or demand anything`(name: String) throws {
        let token = try token(header: #"{"alg":"EdDSA","kid":"k1","\#(name)":["b64"]}"#)
        #expect(throws: JWSError.headerMemberRefused(name)) { try payload(token) }
    }

    @Test(arguments: ["none", "None", "HS256", "RS256", "PS256", "ES384", "ES256K", "Ed25519", "eddsa", ""])
    func `refuses other algorithms`(name: String) throws {
        let token = try token(header: #"{"alg":"\#(name)","kid":"k1"}"#)
        #expect(throws: JWSError.algorithmRefused(name)) { try payload(token) }
    }

    @Test func `refuses an algorithm that is not the key's, with a signature that fits`() throws {
        let token = try token(header: #"{"alg":"ES256","kid":"k1"}"#)
        #expect(throws: JWSError.algorithmMismatch(token: .es256, key: .edDSA)) { try payload(token) }
    }

    @Test func `refuses a token without signature`() throws {
        let token = try token(header: #"{"alg":"EdDSA","kid":"k1"}"#, signature: [])
        #expect(throws: JWSError.malformed("signature is 0 bytes, not 64")) { try payload(token) }
    }

    @Test(arguments: [
        "", "[]", "null", "{", #"{"alg":"EdDSA"}"#, #"{"kid":"k1"}"#, #"{"alg":7,"kid":"k1"}"#,
        #"{"alg":["EdDSA"],"kid":"k1"}"#, #"{"alg":"EdDSA","kid":7}"#, #"{"alg":"EdDSA","kid":""}"#,
        #"{"alg":"EdDSA","kid":"k 1"}"#, #"{"alg":"EdDSA","kid":"\u212a1"}"#,
        #"{"alg":"EdDSA","kid":"k1","kid":"k1"}"#, #"{"alg":"EdDSA","alg":"none","kid":"k1"}"#,
        #"{"alg":"EdDSA","kid":"k1","typ":"JOSE"}"#, #"{"alg":"EdDSA","kid":"k1","typ":null}"#,
        #"{"alg":"EdDSA","kid":"k1"} x"#, #"{"alg":"EdDSA","kid":[[[]]]}"#,
    ])
    func `refuses headers that are not plain`(header: String) throws {
        let token = try token(header: header)
        #expect {
            try payload(token)
        } throws: { error in
            if case .malformed? = error as? JWSError { true } else { false }
        }
    }

    @Test func `refuses a payload that is not base64url, though it is signed`() throws {
        let input = Base64URL.encode(#"{"alg":"EdDSA","kid":"k1"}"#.utf8) + ".e30="
        let token = try input + "." + Base64URL.encode(key.signature(of: Array(input.utf8)))
        #expect(throws: JWSError.malformed("payload is not base64url without padding")) { try payload(token) }
    }
}

@Suite(.enabled(if: !Witness.installed.isEmpty, "neither joserfc nor PyJWT is installed for python3"))
struct WitnessTests {
    static let cases = Witness.installed.flatMap { witness in SignatureAlgorithm.allCases.map { (witness, $0) } }
    private let claims: JSON = ["iss": "acme", "aud": ["n1", "n2"], "reason": "gr\u{FC}\u{DF}e \u{1F329}", "n": 5]

    @Test(arguments: cases)
    func `reads the tokens that others make`(witness: Witness, algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm)
        let token = try #require(try witness.token(key: key.jwk, claims: claims))
        let payload = try CompactJWS(parsing: token.utf8).payload(verifiedBy: key.publicKey)
        #expect(try JSON(parsing: payload) == claims)
    }

    @Test(arguments: cases)
    func `makes tokens that others read`(witness: Witness, algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm)
        let token = try CompactJWS.token(signing: claims, with: key)
        let read = try #require(witness.claims(of: token, key: key.publicKey.jwk))
        #expect(try JSON(parsing: read) == claims)
        let other = try PrivateKey(generating: algorithm, id: key.publicKey.id)
        #expect(witness.claims(of: token, key: other.publicKey.jwk) == nil)
    }

    @Test(
        .enabled(if: Witness.installed.contains(.joserfc), "joserfc is not installed"),
        arguments: SignatureAlgorithm.allCases)
    func `agrees with others about thumbprints`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm).publicKey
        let program = "from joserfc.jwk import import_key; print(import_key(given).thumbprint(), end='')"
        #expect(try Witness.run(program, key.jwk) == key.thumbprint)
    }

    /// The classic confusion: a verifier that believes the header takes the public key for a shared secret.
    @Test(
        .enabled(if: Witness.installed.contains(.joserfc), "joserfc is not installed"),
        arguments: SignatureAlgorithm.allCases)
    func `refuses HS256 with the public key as the secret`(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey(generating: algorithm).publicKey
        let program = """
            import base64, hashlib, hmac
            from joserfc.jwk import import_key
            def b64(b): return base64.urlsafe_b64encode(b).rstrip(b"=")
            text = b64(json.dumps({"alg": "HS256", "kid": given["kid"]}).encode()) + b"." + b64(b"{}")
            secret = import_key(given).as_pem(private=False)
            print((text + b"." + b64(hmac.new(secret, text, hashlib.sha256).digest())).decode(), end="")
            """
        let token = try #require(Witness.run(program, key.jwk))
        #expect(throws: JWSError.algorithmRefused("HS256")) { try CompactJWS(parsing: token.utf8) }
    }
}
