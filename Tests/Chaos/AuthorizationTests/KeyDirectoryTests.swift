import Authorization
import ChaosModel
import Glibc
import LinuxSystem
import Signatures
import Testing

struct KeyDirectoryTests {
    private let folder: KeyFolder
    private let first: JSON
    private let second: JSON

    init() throws {
        folder = try KeyFolder()
        first = try PrivateKey(generating: .edDSA, id: "k1").publicKey.jwk
        second = try PrivateKey(generating: .es256, id: "k2").publicKey.jwk
    }

    private func refusal() -> KeyDirectoryError? { KeyDirectory(watching: folder.path).failures.first }

    @Test func `loads the keys of every tenant, and no other files`() throws {
        try folder.write([first], of: "acme")
        try folder.write([second], of: "umbrella")
        try folder.write("not JSON", to: "README.md")
        try folder.write("not JSON", to: ".acme.jwks.json")
        let counts = KeyDirectory(watching: folder.path).keys.counts
        #expect(counts.map { "\($0.key) \($0.value)" }.sorted() == ["acme 1", "umbrella 1"])
    }

    @Test func `loads nothing from an empty directory, and refuses one that is not there`() throws {
        #expect(KeyDirectory(watching: folder.path).keys.count == 0)
        #expect(KeyDirectory(watching: folder.path + "/missing").failures.count == 1)
    }

    @Test func `refuses a private key, by file and place`() throws {
        try folder.write([first, PrivateKey(generating: .edDSA).jwk], of: "acme")
        let error = refusal()
        #expect(error?.path == folder.path + "/acme.jwks.json")
        #expect(error?.reason.hasPrefix("keys[1]: holds a private key") == true)
    }

    @Test func `refuses a name that two keys share, of one tenant and of two`() throws {
        let namesake = try PrivateKey(generating: .edDSA, id: "k1").publicKey.jwk
        try folder.write([first, namesake], of: "acme")
        #expect(refusal()?.reason == "kid \"k1\" already names a key of tenant acme")
        try folder.write([first], of: "acme")
        try folder.write([namesake], of: "umbrella")
        // Neither has it.
        let directory = KeyDirectory(watching: folder.path)
        #expect(
            directory.failures.map { "\($0)" }
                == [("acme", "umbrella"), ("umbrella", "acme")].map {
                    "\(folder.path)/\($0).jwks.json: kid \"k1\" already names a key of tenant \($1)"
                })
        #expect(directory.keys.count == 0)
    }

    @Test(arguments: [
        ("", "not JSON"), ("[]", "not a JWK Set"), (#"{"keys":{}}"#, "not a JWK Set"),
        (#"{"keys":[7]}"#, "keys[0]: a key is an object"),
        (#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, "keys[0]: key type \"oct\""),
        (#"{"keys":[],"keys":[]}"#, "not JSON: duplicate member"),
    ])
    func `says what is wrong with a file`(text: String, reason: String) throws {
        try folder.write(text, to: "acme.jwks.json")
        #expect(refusal()?.reason.hasPrefix(reason) == true)
    }

    @Test(arguments: ["Acme", "a_b", "-a", ""])
    func `refuses a file whose name is no tenant's`(name: String) throws {
        try folder.write([first], of: name.isEmpty ? String(repeating: "a", count: 64) : name)
        #expect(refusal()?.reason.hasPrefix("a tenant's name is") == true)
    }

    @Test func `bounds the length of a file`() throws {
        let text = (["keys": [first]] as JSON).text
        try folder.write(text + String(repeating: " ", count: 65536 - text.utf8.count), to: "acme.jwks.json")
        #expect(refusal() == nil)
        try folder.write(text + String(repeating: " ", count: 65537 - text.utf8.count), to: "acme.jwks.json")
        #expect(refusal()?.reason == "read: File too large")
    }

    @Test func `refuses what is no file, without waiting for it`() throws {
        #expect(mkfifo(folder.path + "/acme.jwks.json", 0o600) == 0)
        #expect(refusal()?.reason == "read: Invalid argument")
    }

    @Test func `bounds the number of keys`() throws {
        let keys = (0..<1001).map { first.with([("kid", .string("k\($0)"))]) }
        // More than one file can hold.
        for start in stride(from: 0, to: 1001, by: 250) {
            try folder.write(Array(keys[start..<min(start + 250, 1001)]), of: "t\(start)")
        }
        #expect(refusal()?.reason == "more than 1000 keys in all")
        try folder.write([], of: "t1000")
        #expect(KeyDirectory(watching: folder.path).keys.count == 1000)
    }

    @Test func `sees a change within a second, and does not look before`() throws {
        try folder.write([first], of: "acme")
        var directory = KeyDirectory(watching: folder.path)
        let start = BootInstant.now
        #expect(!directory.reloadIfChanged(at: start + .seconds(1)).hasChanged)
        try folder.write([first, second], of: "acme")
        #expect(!directory.reloadIfChanged(at: start + .milliseconds(1900)).hasChanged)
        #expect(directory.reloadIfChanged(at: start + .milliseconds(2000)).hasChanged)
        #expect(directory.keys.count == 2)
        unlink(folder.path + "/acme.jwks.json")
        #expect(directory.reloadIfChanged(at: start + .seconds(4)).hasChanged)
        #expect(directory.keys.count == 0)
    }

    @Test func `what is wrong with one tenant's file is nobody else's, and is said once`() throws {
        try folder.write([first], of: "acme")
        var directory = KeyDirectory(watching: folder.path)
        let start = BootInstant.now
        // Of a file that a power cut left empty, what was in force stays; others come and go.
        try folder.write("", to: "acme.jwks.json")
        try folder.write([second], of: "umbrella")
        let reload = directory.reloadIfChanged(at: start + .seconds(1))
        #expect(reload.hasChanged && reload.problems.map(\.path) == [folder.path + "/acme.jwks.json"])
        #expect(directory.keys.counts.map { "\($0.key) \($0.value)" }.sorted() == ["acme 1", "umbrella 1"])
        let again = directory.reloadIfChanged(at: start + .seconds(2))
        #expect(!again.hasChanged && again.problems.isEmpty && directory.failures == reload.problems)
        // From the beginning, too.
        #expect(KeyDirectory(watching: folder.path).keys.counts.map { "\($0.key)" } == ["umbrella"])
        // Nobody takes a name that is still in force.
        try folder.write([second, first], of: "umbrella")
        #expect(directory.reloadIfChanged(at: start + .seconds(3)).problems.count == 1)
        #expect(directory.keys.counts.map { "\($0.key) \($0.value)" }.sorted() == ["acme 1", "umbrella 1"])
        // Whose file is gone is trusted no more.
        unlink(folder.path + "/acme.jwks.json")
        #expect(directory.reloadIfChanged(at: start + .seconds(4)).hasChanged)
        #expect(directory.keys.counts.map { "\($0.key) \($0.value)" } == ["umbrella 2"])
        #expect(directory.failures.isEmpty)
    }

    @Test func `keeps the keys in force when the directory goes away`() throws {
        try folder.write([first], of: "acme")
        var directory = KeyDirectory(watching: folder.path)
        let start = BootInstant.now
        #expect(rename(folder.path, folder.path + ".away") == 0)
        defer { rename(folder.path + ".away", folder.path) }
        let reload = directory.reloadIfChanged(at: start + .seconds(1))
        #expect(!reload.hasChanged && reload.problems.count == 1)
        #expect(directory.reloadIfChanged(at: start + .seconds(2)).problems.isEmpty)
        directory.reload()
        #expect(directory.keys.count == 1)
    }

    /// A mounted Kubernetes Secret changes by one rename of the link that all its files lead through.
    @Test func `sees the files behind a symbolic link change`() throws {
        try folder.write((["keys": [first]] as JSON).text, to: ".v1")
        try folder.write((["keys": [first, second]] as JSON).text, to: ".v2")
        symlink(".v1", folder.path + "/.data")
        symlink(".data", folder.path + "/acme.jwks.json")
        var directory = KeyDirectory(watching: folder.path)
        symlink(".v2", folder.path + "/.next")
        #expect(rename(folder.path + "/.next", folder.path + "/.data") == 0)
        #expect(directory.reloadIfChanged(at: .now + .seconds(1)).hasChanged)
        #expect(directory.keys.count == 2)
    }
}
