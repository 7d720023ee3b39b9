package import ChaosModel
import Signatures

/// A token as it came: small enough to look at, taken apart, and not believed. Only its header has been read.
package struct SignedEnvelope: Sendable {
    package static let maximumLength = 16384

    let token: CompactJWS

    /// - Parameter token: A JWS in compact form, without blanks around it.
    package init(token: String) throws(Problem) {
        guard !token.isEmpty else {
            throw Problem(.tokenMissing, "no token", hint: "send the header \"Authorization: Bearer TOKEN\"")
        }
        guard token.utf8.count <= Self.maximumLength else {
            throw Problem(
                .tokenMalformed, "the token is \(token.utf8.count) bytes, more than \(Self.maximumLength)")
        }
        do throws(JWSError) {
            self.token = try CompactJWS(parsing: token.utf8)
        } catch {
            throw Problem(error)
        }
    }
}

extension Problem {
    init(_ error: JWSError) {
        switch error {
        case .malformed(let reason):
            self.init(
                .tokenMalformed, reason,
                hint: "a token is a JWS in compact form: three parts of base64url with dots between")
        case .headerMemberRefused(let name):
            self.init(
                .tokenMalformed, "header member \"\(name.prefix(64))\" is not accepted",
                hint: "a token's header has \"alg\", \"kid\" and, if wanted, \"typ\": \"JWT\"; nothing else")
        case .algorithmRefused(let name):
            self.init(
                .algorithmRefused, "algorithm \"\(name.prefix(64))\" is not accepted", hint: "sign with EdDSA or ES256")
        case .algorithmMismatch(let token, let key):
            self.init(
                .algorithmRefused, "the token says \(token.rawValue), but its key is for \(key.rawValue)",
                hint: "sign with \(key.rawValue), or name the right key in \"kid\"")
        case .signatureInvalid:
            self.init(
                .signatureInvalid, "the signature is not that of the key named in \"kid\"",
                hint: "sign with the private key whose public part this node has under that \"kid\"")
        case .library(let error):
            self.init(.internalError, "the signature could not be checked: \(error)")
        }
    }
}
