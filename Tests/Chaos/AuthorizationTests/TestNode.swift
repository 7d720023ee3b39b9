import Authorization
import ChaosModel
import Signatures

/// A node `n1` that knows the keys of the tenants `acme` and `umbrella`, at one instant.
struct TestNode {
    static let now: Int64 = 1_800_000_000
    static let session = "s-0123456789abcdef"
    static let group = "g-0123456789abcdef"

    let acme: PrivateKey
    let acmeP256: PrivateKey
    let umbrella: PrivateKey
    let keys: TenantKeys
    let verifier = RequestVerifier(node: "n1")

    init() throws {
        acme = try PrivateKey(generating: .edDSA, id: "acme-1")
        acmeP256 = try PrivateKey(generating: .es256, id: "acme-2")
        umbrella = try PrivateKey(generating: .edDSA, id: "umbrella-1")
        let folder = try KeyFolder()
        try folder.write([acme.publicKey.jwk, acmeP256.publicKey.jwk], of: "acme")
        try folder.write([umbrella.publicKey.jwk], of: "umbrella")
        keys = KeyDirectory(watching: folder.path).keys
    }

    static let read: JSON = [
        "iss": "acme", "aud": "n1", "iat": .integer(now), "exp": .integer(now + 30), "jti": "token-0001", "op": "read",
    ]
    static let injection: JSON = read.with([
        ("op", "inject"), ("fault", "network-latency"), ("target", ["cgroup": "/kubepods/pod1"]),
    ])

    func verify(
        _ claims: JSON, by key: PrivateKey? = nil, for operation: Operation = .read, session: String? = nil,
        now: Int64 = now
    ) throws -> VerifiedRequest {
        try verify(
            text: CompactJWS.token(signing: claims, with: key ?? acme), for: operation, session: session, now: now)
    }

    func verify(
        text token: String, for operation: Operation = .read, session: String? = nil, now: Int64 = now
    ) throws -> VerifiedRequest {
        try verifier.verify(
            SignedEnvelope(token: token), with: keys, for: operation, on: session.flatMap { SessionScope($0) },
            now: now)
    }

    /// Signs bytes that need not be JSON.
    func token(payload: String) throws -> String {
        let input = Base64URL.encode(#"{"alg":"EdDSA","kid":"acme-1"}"#.utf8) + "." + Base64URL.encode(payload.utf8)
        return try input + "." + Base64URL.encode(acme.signature(of: Array(input.utf8)))
    }
}

/// The problem that a body throws; nil when it throws none.
func problem(_ body: () throws -> some Any) -> Problem? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? Problem
    }
}
