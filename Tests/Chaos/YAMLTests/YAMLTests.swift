import ChaosModel
import Testing
import YAML

struct YAMLTests {
    private func json(_ text: String) throws -> JSON { try YAMLNode(parsing: Array(text.utf8)).json }

    @Test func `reads mappings, lists and scalars in block and in flow style`() throws {
        let text = """
            # A comment.
            tenants:
              shop: {namespaces: [shop, "shop-*"], sessions: 20}
              bank:
                namespaces:
                  - bank
                share: 2.5
                reason: >
                  folded
                  text
            empty:
            """
        #expect(
            try json(text) == [
                "tenants": [
                    "shop": ["namespaces": ["shop", "shop-*"], "sessions": 20],
                    "bank": ["namespaces": ["bank"], "share": 2.5, "reason": "folded text\n"],
                ],
                "empty": .null,
            ])
    }

    @Test(arguments: [
        ("~", JSON.null), ("null", .null), ("true", .boolean(true)), ("FALSE", .boolean(false)), ("7", .integer(7)),
        ("-7", .integer(-7)), ("+7", .integer(7)), ("007", .integer(7)), ("1e3", .number(1000)), (".5", .number(0.5)),
        ("9223372036854775807", .integer(.max)),
        // What other readers take for something else.
        ("yes", .string("yes")), ("no", .string("no")), ("on", .string("on")), ("y", .string("y")),
        ("1_000", .string("1_000")), ("0x1F", .string("0x1F")), ("0o17", .string("0o17")), ("12:30", .string("12:30")),
        ("30s", .string("30s")), ("10.0.0.0/8", .string("10.0.0.0/8")), ("1.2.3", .string("1.2.3")),
        (".inf", .string(".inf")), ("nan", .string("nan")), ("--1", .string("--1")),
        ("\"7\"", .string("7")), ("'true'", .string("true")), ("\"\"", .string("")),
    ])
    func `an unquoted scalar is a null, a truth value, a decimal number or a text`(text: String, value: JSON) throws {
        #expect(try json("a: \(text)") == ["a": value])
        #expect(try json("[\(text)]") == [value])
    }

    @Test(arguments: [
        ("a: 1\na: 2", 2, "\"a\" is there twice"),
        ("a:\n  b: &x 1\n  c: *x", 2, "anchors are not taken: write it out"),
        ("a: *x", 1, "aliases are not taken: write it out"),
        ("a: !!int 7", 1, "tags are not taken"),
        ("a: !x [1]", 1, "tags are not taken"),
        ("a: 1\n---\nb: 2", 2, "expected nothing after the first document"),
        ("", 1, "expected a document"),
        ("\n\n? [a]\n: 1", 3, "a name is a text"),
        ("a: 1e999", 1, "the number 1e999 does not fit"),
        ("a: 99999999999999999999e400", 1, "the number 99999999999999999999e400 does not fit"),
        ("a: \"\\0\"", 1, "a text with characters that are not taken"),
        ("a:\n\tb: 1", 2, "found character that cannot start any token"),
        ("a: [1, 2", 2, "did not find expected ',' or ']'"),
    ])
    func `what is not taken is told with its line`(text: String, line: Int, reason: String) {
        #expect(throws: YAMLError(reason, line: line)) { _ = try YAMLNode(parsing: Array(text.utf8)) }
    }

    @Test func `bytes that are no UTF-8 are told with their line`() {
        #expect(throws: YAMLError("invalid leading UTF-8 octet", line: 3)) {
            _ = try YAMLNode(parsing: Array("a: 1\nb: 2\nc: ".utf8) + [0xFF])
        }
    }

    @Test func `nesting is bounded`() {
        let deep = String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
        #expect(throws: YAMLError("nested more than 16 deep", line: 1)) { _ = try json(deep) }
    }

    /// Whatever is cut off a document, it is read or refused.
    @Test func `a document cut anywhere is never more than it was`() throws {
        let text = Array(
            "version: 1\ntenants:\n  shop: {faults: [\"*\"], \u{FC}: 'x'}\n  bank:\n    faults: [a, b]\n".utf8)
        let whole = try YAMLNode(parsing: text)
        var read = 0
        for count in 0..<text.count {
            do throws(YAMLError) {
                let part = try YAMLNode(parsing: Array(text[..<count]))
                read += 1
                #expect(part.json != whole.json || count > text.count - 2)
            } catch {
                #expect((1...6).contains(error.line), "\(count): \(error)")
            }
        }
        #expect(read > 5)
    }
}
