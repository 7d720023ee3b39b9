import ChaosModel
import CLibyaml

extension YAMLNode {
    /// Deeper than anybody nests a configuration.
    private static let mostLevels = 16

    /// Reads one document.
    ///
    /// The corresponding library call is `yaml_parser_parse` of libyaml.
    ///
    /// - Throws: For what is no YAML, and for what of YAML is not taken.
    package init(parsing bytes: [UInt8]) throws(YAMLError) {
        var parser = try EventParser(bytes)
        defer { parser.free() }
        try parser.expect(YAML_STREAM_START_EVENT, "a document")
        try parser.expect(YAML_DOCUMENT_START_EVENT, "a document")
        self = try Self.node(try parser.next(), &parser, level: 0)
        try parser.expect(YAML_DOCUMENT_END_EVENT, "the document's end")
        try parser.expect(YAML_STREAM_END_EVENT, "nothing after the first document")
    }

    private static func node(
        _ event: EventParser.Event, _ parser: inout EventParser, level: Int
    ) throws(YAMLError) -> YAMLNode {
        guard level < mostLevels else { throw YAMLError("nested more than \(mostLevels) deep", line: event.line) }
        switch event.kind {
        case .scalar(let text, let isPlain):
            guard isPlain else { return YAMLNode(.scalar(.string(text)), line: event.line) }
            do throws(PlainScalarError) {
                return YAMLNode(.scalar(try JSON(plainScalar: text)), line: event.line)
            } catch {
                throw YAMLError("the number \(text.prefix(32)) does not fit", line: event.line)
            }
        case .sequenceStart:
            var elements: [YAMLNode] = []
            while true {
                let next = try parser.next()
                if case .end = next.kind { return YAMLNode(.sequence(elements), line: event.line) }
                elements.append(try node(next, &parser, level: level + 1))
            }
        case .mappingStart:
            var members: [Member] = []
            var names: Set<String> = []
            while true {
                let key = try parser.next()
                if case .end = key.kind { return YAMLNode(.mapping(members), line: event.line) }
                guard case .scalar(let name, _) = key.kind else {
                    throw YAMLError("a name is a text", line: key.line)
                }
                guard names.insert(name).inserted else {
                    throw YAMLError("\"\(name)\" is there twice", line: key.line)
                }
                members.append(
                    Member(name: name, line: key.line, value: try node(try parser.next(), &parser, level: level + 1)))
            }
        case .end, .other:
            throw YAMLError("a value is missing", line: event.line)
        }
    }
}

/// libyaml's parser, event by event.
private struct EventParser {
    struct Event {
        enum Kind {
            case scalar(String, isPlain: Bool)
            case sequenceStart
            case mappingStart
            /// Of a sequence or mapping.
            case end
            case other(yaml_event_type_t)
        }

        let kind: Kind
        let line: Int
    }

    /// At an address that does not change, as the library wants it.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ bytes: [UInt8]) throws(YAMLError) {
        parser = .allocate(capacity: 1)
        self.bytes = .allocate(capacity: max(1, bytes.count))
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            self.bytes.deallocate()
            throw YAMLError("no memory", line: 1)
        }
        _ = self.bytes.initialize(from: bytes)
        yaml_parser_set_input_string(parser, self.bytes.baseAddress, bytes.count)
        // Bytes that look like another encoding's are not guessed at.
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    }

    mutating func free() {
        yaml_parser_delete(parser)
        parser.deallocate()
        bytes.deallocate()
    }

    mutating func expect(_ type: yaml_event_type_t, _ what: String) throws(YAMLError) {
        let event = try next()
        guard case .other(type) = event.kind else { throw YAMLError("expected \(what)", line: event.line) }
    }

    mutating func next() throws(YAMLError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
        defer { yaml_event_delete(&event) }
        let line = event.start_mark.line + 1
        func refuseDecoration(anchor: UnsafePointer<UInt8>?, tag: UnsafePointer<UInt8>?) throws(YAMLError) {
            if anchor != nil { throw YAMLError("anchors are not taken: write it out", line: line) }
            if tag != nil { throw YAMLError("tags are not taken", line: line) }
        }
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            try refuseDecoration(anchor: scalar.anchor, tag: scalar.tag)
            let characters = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            // A name or path with a NUL would be cut where the kernel reads it.
            guard !characters.contains(0), let text = String(validating: characters, as: UTF8.self) else {
                throw YAMLError("a text with characters that are not taken", line: line)
            }
            return Event(kind: .scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), line: line)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            try refuseDecoration(anchor: start.anchor, tag: start.tag)
            return Event(kind: .sequenceStart, line: line)
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            try refuseDecoration(anchor: start.anchor, tag: start.tag)
            return Event(kind: .mappingStart, line: line)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return Event(kind: .end, line: line)
        case YAML_ALIAS_EVENT: throw YAMLError("aliases are not taken: write it out", line: line)
        case let type: return Event(kind: .other(type), line: line)
        }
    }

    private func failure() -> YAMLError {
        let reason = parser.pointee.problem.map { String(cString: $0) } ?? "no YAML"
        // Where the reader fails there is no mark, only an offset.
        guard parser.pointee.error != YAML_READER_ERROR else {
            let before = bytes.prefix(parser.pointee.problem_offset)
            return YAMLError(reason, line: before.count { $0 == 0x0A } + 1)
        }
        return YAMLError(reason, line: parser.pointee.problem_mark.line + 1)
    }
}
