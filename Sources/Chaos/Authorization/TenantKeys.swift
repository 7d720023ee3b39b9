package import ChaosModel
package import Signatures

/// Whose key has signed: by the key itself, for another one may take its name.
package struct Signer: Hashable, Sendable {
    package let tenant: Tenant
    /// The key's `kid`.
    package let keyID: String
    private let key: JSON

    init(_ entry: TenantKeys.Entry) {
        tenant = entry.tenant
        keyID = entry.key.id
        key = entry.key.jwk
    }
}

/// The public keys of all tenants: the name of a key decides whose it is and how it signs.
package struct TenantKeys: Sendable {
    package static let maximumCount = 1000

    struct Entry: Sendable {
        let tenant: Tenant
        let key: PublicKey
    }

    private var entries: [String: Entry] = [:]

    init() {}

    package var count: Int { entries.count }

    /// Who has how many keys.
    package var counts: [Tenant: Int] {
        entries.values.reduce(into: [:]) { $0[$1.tenant, default: 0] += 1 }
    }

    /// Everybody who is trusted.
    package var signers: Set<Signer> { Set(entries.values.map(Signer.init)) }

    subscript(keyID: String) -> Entry? { entries[keyID] }

    /// Adds all keys of a tenant, or none.
    mutating func add(_ set: [PublicKey], of tenant: Tenant) throws(KeySetError) {
        for key in set {
            if let other = entries[key.id] { throw .ambiguousKeyID(key.id, other: other.tenant) }
        }
        guard entries.count + set.count <= Self.maximumCount else { throw .tooMany }
        for key in set { entries[key.id] = Entry(tenant: tenant, key: key) }
    }

    /// Adds the keys that a tenant has among others, but for those whose name is taken by now.
    mutating func add(from others: TenantKeys, of tenant: Tenant) {
        for (id, entry) in others.entries where entry.tenant == tenant && entries[id] == nil { entries[id] = entry }
    }

    /// The keys of a JWK Set (RFC 7517, section 5). A `kid` that two keys share names neither.
    static func set(jwks bytes: [UInt8], of tenant: Tenant) throws(KeySetError) -> [PublicKey] {
        let document: JSON
        do throws(JSONError) {
            document = try JSON(parsing: bytes)
        } catch {
            throw .notJSON(error)
        }
        guard let keys = document["keys"]?.arrayValue else { throw .noKeys }
        var set: [PublicKey] = []
        var names: Set<String> = []
        for (index, jwk) in keys.enumerated() {
            let key: PublicKey
            do throws(JWKError) {
                key = try PublicKey(jwk: jwk)
            } catch {
                throw .badKey(index: index, error)
            }
            guard names.insert(key.id).inserted else { throw .ambiguousKeyID(key.id, other: tenant) }
            set.append(key)
        }
        return set
    }
}

/// Why a key set is not accepted.
package enum KeySetError: Error, Hashable, Sendable, CustomStringConvertible {
    case notJSON(JSONError)
    case noKeys
    case badKey(index: Int, JWKError)
    case ambiguousKeyID(String, other: Tenant)
    case tooMany

    package var description: String {
        switch self {
        case .notJSON(let error): "not JSON: \(error)"
        case .noKeys: "not a JWK Set: no array \"keys\""
        case .badKey(let index, let error): "keys[\(index)]: \(error)"
        case .ambiguousKeyID(let id, let other): "kid \"\(id)\" already names a key of tenant \(other)"
        case .tooMany: "more than \(TenantKeys.maximumCount) keys in all"
        }
    }
}
