import AgentAPI
import Testing

struct FrameTests {
    private static let frames = [
        Frame(.query, "node".utf8), Frame(.end, []), Frame(.item, [UInt8](repeating: 7, count: 300)),
        Frame(.answer, [0, 200, 0x7B, 0x7D]),
    ]

    private static func decoded(_ pieces: [ArraySlice<UInt8>]) throws -> [Frame] {
        var decoder = FrameDecoder()
        var frames: [Frame] = []
        for piece in pieces {
            decoder.append(piece)
            while let frame = try decoder.next() { frames.append(frame) }
        }
        #expect(decoder.isEmpty)
        return frames
    }

    @Test func `is length, kind and payload`() {
        #expect(Frame(.query, "node".utf8).encoded == [0, 0, 0, 5, 3, 0x6E, 0x6F, 0x64, 0x65])
        #expect(Frame(.end, []).encoded == [0, 0, 0, 1, 18])
    }

    @Test func `is the same wherever the stream is cut`() throws {
        let bytes = Self.frames.flatMap(\.encoded)
        for cut in 0...bytes.count {
            #expect(try Self.decoded([bytes[..<cut], bytes[cut...]]) == Self.frames)
        }
        #expect(try Self.decoded(bytes.indices.map { bytes[$0...$0] }) == Self.frames)
    }

    @Test func `waits for the rest of a frame that has only begun`() throws {
        let bytes = Frame(.query, "node".utf8).encoded
        for count in 1..<bytes.count {
            var decoder = FrameDecoder()
            decoder.append(bytes[..<count])
            #expect(try decoder.next() == nil)
            #expect(!decoder.isEmpty)
        }
    }

    @Test(arguments: [0, 1 << 20 + 1, 1 << 31, .max] as [UInt32])
    func `refuses a length that cannot be, before the payload arrives`(length: UInt32) {
        var decoder = FrameDecoder()
        decoder.append([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + [1])
        #expect(throws: FrameError.badLength(length)) { try decoder.next() }
    }

    @Test func `takes a frame of the greatest length`() throws {
        let frame = Frame(.item, [UInt8](repeating: 1, count: Frame.maximumLength - 1))
        #expect(try Self.decoded([frame.encoded[...]]) == [frame])
    }

    @Test func `refuses every kind that there is not`() {
        for kind in UInt8.min ... .max where Frame.Kind(rawValue: kind) == nil {
            var decoder = FrameDecoder()
            decoder.append([0, 0, 0, 2, kind])
            #expect(throws: FrameError.unknownKind(kind)) { try decoder.next() }
        }
    }
}
