@testable import AgentAPI
@testable import Authorization
@testable import CRI
@testable import ChaosModel
@testable import ContainerRuntimes
import Faults
import Glibc
@testable import Journal
import LinuxSystem
import NIOCore
import NIOHPACK
@testable import NameResolution
@testable import Netlink
import Signatures
import SwiftProtobuf

/// What one input is given to: everything in the agent that reads bytes of somebody else's making. Each target also says what has to
/// hold of what it read, and traps where it does not.
enum FuzzTarget: String, CaseIterable {
    case frames, envelope, claims, policy, journal, netlink, runtime, names, json

    func run(_ bytes: [UInt8]) {
        switch self {
        case .frames: tryFrames(bytes)
        case .envelope: tryEnvelope(bytes)
        case .claims: tryClaims(bytes)
        case .policy: tryPolicy(bytes)
        case .journal: tryJournal(bytes)
        case .netlink: tryNetlink(bytes)
        case .runtime: tryRuntime(bytes)
        case .names: tryNames(bytes)
        case .json: tryJSON(bytes)
        }
    }
}

/// What arrives at the engine's socket, in pieces of any size, and what each kind of frame then holds.
private func tryFrames(_ bytes: [UInt8]) {
    guard let size = bytes.first.map({ Int($0) + 1 }) else { return }
    var whole = FrameDecoder()
    var inPieces = FrameDecoder()
    whole.append(bytes.dropFirst())
    var rest = bytes.dropFirst()
    var seen: [Frame] = []
    do {
        while !rest.isEmpty {
            inPieces.append(rest.prefix(size))
            rest = rest.dropFirst(size)
            while let frame = try inPieces.next() { seen.append(frame) }
        }
    } catch {}
    for frame in seen {
        guard let same = try? whole.next() else { fatalError("another frame in pieces than whole") }
        precondition(same == frame && Array(frame.encoded.dropFirst(5)) == frame.payload)
        switch frame.kind {
        case .envelope: tryEnvelope(frame.payload)
        case .command: if let command = try? OperatorCommand(payload: frame.payload) { _ = command.json }
        case .credentials: _ = CredentialsQuery(payload: frame.payload)
        case .question, .answer, .item, .query, .end: _ = Answer(payload: frame.payload)
        }
    }
}

private func tryEnvelope(_ bytes: [UInt8]) {
    guard let request = EnvelopeRequest(payload: bytes) else { return }
    precondition(EnvelopeRequest(payload: request.payload) == request)
    guard let envelope = try? SignedEnvelope(token: request.token) else { return }
    // Nobody signed it.
    if (try? signing.verifier.verify(envelope, with: signing.keys, for: .inject, on: nil, now: 0)) != nil {
        fatalError("a token that nobody has signed")
    }
}

/// A token whose payload a tenant has signed, whatever it is.
private struct Signing {
    let key: PrivateKey
    var keys = TenantKeys()
    let verifier = RequestVerifier(node: "node")

    init() {
        do {
            key = try PrivateKey(generating: .edDSA, id: "fuzz")
            guard let tenant = Tenant("shop") else { fatalError("no tenant") }
            try keys.add([key.publicKey], of: tenant)
        } catch {
            fatalError("\(error)")
        }
    }
}

private let signing = Signing()

private func tryClaims(_ bytes: [UInt8]) {
    guard let json = try? JSON(parsing: bytes), let token = try? CompactJWS.token(signing: json, with: signing.key),
        let envelope = try? SignedEnvelope(token: token)
    else { return }
    for operation in [Operation.inject, .plan, .read] {
        guard
            let verified = try? signing.verifier.verify(
                envelope, with: signing.keys, for: operation, on: nil, now: 1_000_000_000)
        else { continue }
        guard case .inject(let injection) = verified.demand else { continue }
        _ = try? FaultCatalogue.fault(of: injection.fault, parameters: injection.parameters)
    }
}

private func tryPolicy(_ bytes: [UInt8]) {
    guard let policy = try? Policy(yaml: bytes, faults: FaultCatalogue.parameters) else { return }
    for grant in policy.tenants.values { _ = grant.allows("network-latency") }
}

private func tryJournal(_ bytes: [UInt8]) {
    // Lines have sums, which no mutation guesses: each is read as it is, and with the sum that it should have.
    _ = try? JournalScan(of: bytes)
    var lines: [UInt8] = JournalLine.header
    for line in bytes.split(separator: 0x0A) {
        guard let json = try? JSON(parsing: line) else { continue }
        lines += JournalLine.encode(json)
    }
    guard let scan = try? JournalScan(of: lines) else { fatalError("a journal that was written is no journal") }
    precondition(scan.tornBytes == 0)
}

private func tryNetlink(_ bytes: [UInt8]) {
    for message in NetlinkMessage.messages(in: bytes) {
        _ = Filter(message, hook: .egress)
        _ = Qdisc(message)
        _ = Link(message)
        _ = InterfaceAddress(message)
    }
}

private func tryRuntime(_ bytes: [UInt8]) {
    if let status = try? Runtime_V1_ContainerStatusResponse(serializedBytes: bytes) {
        _ = try? VerboseInfo(status.info)
    }
    _ = try? Runtime_V1_PodSandboxStatusResponse(serializedBytes: bytes)
    _ = try? Runtime_V1_ListContainersResponse(serializedBytes: bytes)
    _ = try? Runtime_V1_ListPodSandboxResponse(serializedBytes: bytes)
    var response = UnaryResponse()
    let cut = bytes.firstIndex(of: 0x0A) ?? bytes.startIndex
    let text = String(decoding: bytes[..<cut], as: UTF8.self)
    let headers = HPACKHeaders([(":status", "200"), ("content-type", "application/grpc"), ("grpc-message", text)])
    _ = try? response.receive(headers, endsStream: false)
    try? response.receive(ByteBuffer(bytes: bytes[cut...].dropFirst()), endsStream: false)
    _ = try? response.receive(HPACKHeaders([("grpc-status", text)]), endsStream: true)
}

private func tryNames(_ bytes: [UInt8]) {
    guard let name = DNSName("db.shop.svc.cluster.local") else { fatalError("no name") }
    for type in DNSQuestion.RecordType.allCases {
        let question = DNSQuestion(id: 1, name: name, type: type)
        _ = DNSAnswer(bytes, to: question)
        // Beyond what an answer has to begin with, which no mutation guesses.
        let beginning: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0] + name.bytes
        guard
            case .addresses(let found)? = DNSAnswer(beginning + [0, UInt8(type.rawValue), 0, 1] + bytes, to: question)
        else { continue }
        precondition(found.allSatisfy { $0.count == (type == .a ? 4 : 16) })
    }
}

private func tryJSON(_ bytes: [UInt8]) {
    guard let json = try? JSON(parsing: bytes) else { return }
    guard let again = try? JSON(parsing: json.bytes) else { fatalError("what was written cannot be read") }
    precondition(again == json, "another value than was written")
}

// MARK: libFuzzer

nonisolated(unsafe) private var target = FuzzTarget.json

@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
    guard let name = getenv("SQUALL_FUZZ_TARGET").map({ String(cString: $0) }), let chosen = FuzzTarget(rawValue: name)
    else {
        let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: " ")
        StandardStream.error.writeLine("SQUALL_FUZZ_TARGET is one of \(names)")
        exit(64)
    }
    target = chosen
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    target.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
