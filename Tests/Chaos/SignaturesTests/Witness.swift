import ChaosModel
import Foundation
import Testing

/// A Python library that knows nothing of this one, and so can bear witness to what it makes and reads.
enum Witness: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case joserfc
    case pyJWT = "jwt"

    static let installed: [Witness] = allCases.filter { run("import \($0.rawValue), cryptography", [:]) != nil }

    var testDescription: String { rawValue }

    /// Runs a program that finds `given`, an object, and says what it has to say on standard output.
    /// Nil when it fails.
    static func run(_ program: String, _ given: JSON) -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c", "import json, sys\ngiven = json.loads(sys.argv[1])\n" + program, given.text,
        ]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return nil
        }
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return process.terminationStatus == 0 ? String(decoding: said, as: UTF8.self) : nil
    }

    /// A token made by the library from `key` (a private JWK) and `claims`.
    func token(key: JSON, claims: JSON) -> String? {
        let program =
            switch self {
            case .joserfc:
                """
                from joserfc import jwt
                from joserfc.jwk import import_key
                key = given["key"]
                header = {"alg": key["alg"], "kid": key["kid"], "typ": "JWT"}
                print(jwt.encode(header, given["claims"], import_key(key), algorithms=["EdDSA", "ES256"]), end="")
                """
            case .pyJWT:
                """
                import jwt
                key = given["key"]
                private = jwt.PyJWK(key).key
                print(jwt.encode(given["claims"], private, algorithm=key["alg"], headers={"kid": key["kid"]}), end="")
                """
            }
        return Self.run(program, ["key": key, "claims": claims])
    }

    /// The claims of a token that the library finds good for `key` (a public JWK), as JSON text.
    func claims(of token: String, key: JSON) -> String? {
        let program =
            switch self {
            case .joserfc:
                """
                from joserfc import jwt
                from joserfc.jwk import import_key
                token = jwt.decode(given["token"], import_key(given["key"]), algorithms=["EdDSA", "ES256"])
                assert token.header["kid"] == given["key"]["kid"]
                print(json.dumps(token.claims, separators=(",", ":")), end="")
                """
            case .pyJWT:
                """
                import jwt
                key = jwt.PyJWK(given["key"]).key
                options = {"verify_aud": False}
                claims = jwt.decode(given["token"], key, algorithms=[given["key"]["alg"]], options=options)
                print(json.dumps(claims, separators=(",", ":")), end="")
                """
            }
        return Self.run(program, ["key": key, "token": .string(token)])
    }
}
