import ChaosModel
import Testing

struct JSONTests {
    static let document = #"{"a":[1,-2.5e3,true,false,null],"b":{"\u00e9\ud83c\udf29":"x\"\\\/\b\f\n\r\t"},"c":""}"#

    @Test func `reads every kind of value`() throws {
        #expect(
            try JSON(parsing: Self.document) == [
                "a": [1, -2500.0, true, false, .null], "b": ["\u{E9}\u{1F329}": "x\"\\/\u{8}\u{C}\n\r\t"], "c": "",
            ])
    }

    @Test func `refuses every beginning of a document, and everything after its end`() throws {
        let bytes = Array(Self.document.utf8)
        for count in bytes.indices {
            #expect(throws: JSONError.self) { try JSON(parsing: bytes[..<count]) }
        }
        for extra in ["x", "{}", ",", "]", "\0"] {
            #expect(throws: JSONError.self) { try JSON(parsing: Self.document + extra) }
        }
        #expect(try JSON(parsing: " \t\r\n" + Self.document + " \n") == JSON(parsing: Self.document))
    }

    /// Whatever is read has one meaning, so what is written of it is read as the same.
    @Test func `reads or refuses a document with any byte changed, and never anything in between`() throws {
        let bytes = Array(Self.document.utf8)
        for index in bytes.indices {
            for value in UInt8.min ... .max {
                var changed = bytes
                changed[index] = value
                guard let json = try? JSON(parsing: changed) else { continue }
                #expect(try JSON(parsing: json.text) == json)
            }
        }
    }

    @Test func `reads back what it writes, on one line and for people`() throws {
        let controls = String(
            String.UnicodeScalarView((0..<0x20).compactMap { Unicode.Scalar($0 as UInt32) } + ["\u{7F}"]))
        let values: [JSON] = [
            .null, true, false, 0, -1, .integer(.max), .integer(.min), 0.1, -1e-300, 1.7976931348623157e308, "",
            .string(controls),
            "\u{2028}\u{10FFFF}", [], [:], [[], [:], [.null]], ["": ["": ""]],
        ]
        for value in values + [.array(values)] {
            #expect(try JSON(parsing: value.text) == value)
            #expect(try JSON(parsing: value.prettyText) == value)
            #expect(!value.text.utf8.contains { $0 < 0x20 })
        }
    }

    @Test(arguments: [
        (#"{"a":1,"a":1}"#, "duplicate member \"a\""), (#"{"a":1,"\u0061":2}"#, "duplicate member \"a\""),
        (#"[{"x":{"y":0,"y":0}}]"#, "duplicate member \"y\""),
    ])
    func `refuses a member that is there twice, however it is spelled`(text: String, reason: String) {
        #expect {
            try JSON(parsing: text)
        } throws: {
            ($0 as? JSONError)?.reason == reason
        }
    }

    @Test(arguments: [
        "9223372036854775808", "-9223372036854775809", "1e400", "-1e400", "01", "-01", "00", "-", "+1", ".5", "1.",
        "1.e1", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "--1", "1e1.5", "٣",
    ])
    func `refuses numbers that are malformed or do not fit`(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
        #expect(throws: JSONError.self) { try JSON(parsing: "[\(text)]") }
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("1.0", 1.0), ("1e2", 100.0), ("1E-2", 0.01), ("1e+2", 100.0), ("1e-400", 0.0),
        ] as [(String, JSON)])
    func `reads numbers that fit`(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test(arguments: [
        #""\ud83c""#, #""\ud83c\ud83c""#, #""\udf29""#, #""\ud83cx""#, #""\ud83c\n""#, #""\u12g4""#, #""\u123""#,
        #""\x41""#,
        #""\"#, "\"\n\"", "\"\u{0}\"", "'a'", "\"a", "a\"",
    ])
    func `refuses strings that are malformed or have lone surrogates`(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test(
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82], [0xF4, 0x90, 0x80, 0x80]] as [[UInt8]])
    func `refuses strings that are not UTF-8`(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22] + bytes + [0x22]) }
    }

    @Test(arguments: [
        "[1,]", "[,1]", "[1 2]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{a:1}", "{1:1}", "[}", "tru", "nul",
        "True", "",
    ])
    func `refuses what is almost JSON`(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test func `bounds how deep a document nests`() throws {
        let deep = String(repeating: "[", count: 16) + String(repeating: "]", count: 16)
        #expect(try JSON(parsing: deep).typeName == "array")
        #expect {
            try JSON(parsing: "[\(deep)]")
        } throws: {
            "\($0)" == "nested too deeply at byte 16"
        }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: #"{"a":"#, count: 100_000)) }
        // Depth, not number: many in a row are fine.
        let wide = "[" + Array(repeating: "[[]]", count: 1000).joined(separator: ",") + "]"
        #expect(try JSON(parsing: wide).arrayValue?.count == 1000)
    }
}
