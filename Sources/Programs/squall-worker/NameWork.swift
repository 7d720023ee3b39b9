internal import Glibc
internal import LinuxSystem
internal import NameResolution
internal import WorkerProtocol

/// Asks name servers, each by a socket that is connected to it, for the IPv4 and IPv6 addresses of names.
struct NameWork {
    let sockets: [Int32]
    /// When it gives up.
    let end: BootInstant

    private static let attempts = 2
    private static let patience = Duration.milliseconds(1500)

    /// What a question came to.
    private enum Outcome {
        case addresses([[UInt8]])
        /// There is no such name, or it has no address.
        case none(String)
        /// Nobody can tell now.
        case unknown(String)
    }

    /// - Parameter candidates: The whole names that a name may mean: the first that has an address is meant.
    func lookUp(_ candidates: [String], index: Int) -> WorkerMessage {
        var reason = "there is no such name"
        var isCertain = true
        for candidate in candidates {
            switch ask(candidate) {
            case .addresses(let addresses):
                return .found(index: index, addresses: addresses.compactMap(Self.text))
            case .none(let words): if isCertain { reason = words }
            case .unknown(let words): (reason, isCertain) = (words, false)
            }
        }
        return .missing(index: index, isCertain: isCertain, reason: reason)
    }

    private func ask(_ candidate: String) -> Outcome {
        guard let name = DNSName(candidate) else { return .none("it is no name") }
        var reason = "no answer from \(sockets.count == 1 ? "the name server" : "\(sockets.count) name servers")"
        for _ in 0..<Self.attempts {
            for socket in sockets where .now < end {
                let answers = exchange(
                    DNSQuestion.RecordType.allCases.map {
                        DNSQuestion(id: .random(in: 0...UInt16.max), name: name, type: $0)
                    },
                    on: socket)
                var found: [[UInt8]] = []
                for case .addresses(let addresses) in answers { found += addresses }
                if !found.isEmpty { return .addresses(found) }
                if answers.contains(.noSuchName) { return .none("there is no such name") }
                if answers.count == DNSQuestion.RecordType.allCases.count, answers.allSatisfy({ $0 == .addresses([]) })
                {
                    return .none("the name has no address")
                }
                if answers.contains(.truncated) { reason = "its addresses do not fit into a packet" }
                for case .failed(let code) in answers { reason = "a name server answered with code \(code)" }
            }
        }
        return .unknown(reason)
    }

    /// What comes back in time.
    private func exchange(_ questions: [DNSQuestion], on socket: Int32) -> [DNSAnswer] {
        var open = questions
        for question in questions {
            let message = question.message
            // What cannot be sent is not answered.
            _ = write(socket, message, message.count)
        }
        var answers: [DNSAnswer] = []
        let limit = min(.now + Self.patience, end)
        var buffer = [UInt8](repeating: 0, count: DNSQuestion.longestAnswer + 1)
        while !open.isEmpty {
            let left = (limit - .now).wholeNanoseconds / 1_000_000
            var wait = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&wait, 1, Int32(clamping: left)) > 0 else { break }
            let count = recv(socket, &buffer, buffer.count, 0)
            // Refused, as a rule: there is no server.
            guard count >= 0 else { break }
            let message = Array(buffer[..<count])
            for (index, question) in open.enumerated() {
                guard let answer = DNSAnswer(message, to: question) else { continue }
                answers.append(answer)
                open.remove(at: index)
                break
            }
        }
        return answers
    }

    private static func text(_ address: [UInt8]) -> String? {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(address.count == 4 ? AF_INET : AF_INET6, address, &text, socklen_t(text.count)) != nil else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
