import ChaosModel
import LinuxSystem
import Namespaces
import Targets
import WorkerProtocol

/// Sockets that were made for a worker; open as long as this is held.
final class WorkerSockets: Sendable {
    let raw: [Int32]

    fileprivate init(_ raw: [Int32]) { self.raw = raw }

    /// One to each of these that a way leads to from the calling thread's network namespace.
    convenience init(toAnyOf peers: [InternetAddress], over transport: InternetTransport) {
        self.init(
            peers.compactMap { peer in
                guard
                    case .success(let raw) = Result(catching: {
                        () throws(SystemCallError) in try OwnedDescriptor.connected(to: peer, over: transport).release()
                    })
                else { return nil }
                return raw
            })
    }

    deinit {
        for each in raw { _ = OwnedDescriptor(adopting: each) }
    }
}

extension StepRunner {
    static let withoutNetwork = StepError("the target has no network namespace")

    /// Sees that a route leads from the target to others at the sink's address. Sends nothing.
    func refuseUnreachable(_ sink: InternetAddress, from target: ResolvedTarget) throws(Problem) {
        let own: InternetAddress?
        do throws(NamespaceEntryError<SystemCallError>) {
            own = try target.withNetworkNamespace { (namespace) throws(NamespaceEntryError<SystemCallError>) in
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                    try OwnedDescriptor.connected(to: sink, over: .udp).ownInternetAddress()
                }
            }
        } catch .entry(let error) {
            throw Problem(.targetRefused, "the target's network cannot be entered: \(error)", field: "target")
        } catch {
            throw Problem(
                .fieldInvalid, "nothing can be sent there from the target: \(error)", field: "parameters.sink",
                hint: "name a sink to which the target has a route")
        }
        guard let own else { throw Problem(.targetRefused, Self.withoutNetwork.description, field: "target") }
        if own.bytes == sink.bytes {
            throw Problem(
                .fieldInvalid, "\(sink) is the target itself: nothing would leave it", field: "parameters.sink")
        }
    }

    /// Who is never hit by a fault on packets is no sink, either.
    private func excludedEndpoints(of target: ResolvedTarget) throws(StepError) -> [ExcludedEndpoint] {
        let shaper = try openShaper(of: target)
        guard let endpoints else { throw StepError("nobody knows who must not be hit") }
        let ofNode = try endpoints.current()
        do throws(TrafficError) {
            return try shaper.gateways() + ofNode
        } catch {
            throw StepError("\(error)")
        }
    }

    func refuseExcluded(_ sink: InternetAddress, from target: ResolvedTarget) throws(Problem) {
        let excluded: [ExcludedEndpoint]
        do throws(StepError) {
            excluded = try excludedEndpoints(of: target)
        } catch {
            throw Problem(.targetRefused, "the target's network cannot be looked at: \(error)", field: "target")
        }
        guard let address = IPNetwork(host: sink.bytes),
            let found = excluded.first(where: { $0.network.contains(address) })
        else { return }
        throw Problem(
            .fieldInvalid, "\(sink) is \(found.role.words), which no fault hits", field: "parameters.sink")
    }

    /// Those that the task is to work on, made in the target's network namespace: a worker can make none.
    func openSockets(of task: WorkerTask, on target: ResolvedTarget) throws(StepError) -> WorkerSockets {
        guard case .network(let load) = task else { return WorkerSockets([]) }
        let sockets: WorkerSockets?
        do throws(NamespaceEntryError<SystemCallError>) {
            sockets = try target.withNetworkNamespace { (namespace) throws(NamespaceEntryError<SystemCallError>) in
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                    try Self.openSockets(for: load)
                }
            }
        } catch {
            throw StepError("\(error)")
        }
        guard let sockets else { throw Self.withoutNetwork }
        return sockets
    }

    private static func openSockets(for load: NetworkLoad) throws(SystemCallError) -> WorkerSockets {
        var raw: [Int32] = []
        do throws(SystemCallError) {
            for _ in 0..<load.sockets {
                raw.append(try OwnedDescriptor.connected(to: load.sink, over: load.transport).release())
            }
        } catch {
            _ = WorkerSockets(raw)
            throw error
        }
        return WorkerSockets(raw)
    }
}

extension NetworkLoad {
    var json: JSON {
        [
            "protocol": .string(transport.rawValue), "sink": .string("\(sink)"), "rate": .integer(bitsPerSecond),
            "blockSize": .integer(blockSize), "sockets": .integer(Int64(sockets)),
        ]
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let transport = json["protocol"]?.stringValue.flatMap(InternetTransport.init),
            let sink = json["sink"]?.stringValue.flatMap(InternetAddress.init(text:)),
            let rate = json["rate"]?.integerValue, let blockSize = json["blockSize"]?.integerValue,
            let sockets = json["sockets"]?.integerValue
        else { return nil }
        self.init(transport, to: sink, bitsPerSecond: rate, blockSize: blockSize, sockets: Int(sockets))
    }

    /// What is done, as a person would say it.
    package var words: String {
        "sends \(BitRate(bitsPerSecond)) over \(transport.rawValue.uppercased()) to \(sink)"
            + (transport == .udp ? ", in packets of \(blockSize) bytes" : "")
            + (sockets > 1 ? ", with \(sockets) sockets" : "")
    }
}

extension Effect {
    /// - Parameter written: All that the worker has written, some bytes of its start included.
    static func sent(_ load: NetworkLoad, written: Int64, over time: Duration) -> Effect {
        switch load.transport {
        case .tcp: return .sent(ByteCount(written), packets: nil, over: time)
        // Each write is a packet, and all are of one size.
        case .udp:
            let packets = written / load.blockSize
            return .sent(ByteCount(packets * load.blockSize), packets: packets, over: time)
        }
    }
}
