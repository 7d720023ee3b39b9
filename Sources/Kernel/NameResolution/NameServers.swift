internal import Glibc
package import LinuxSystem

/// Asks name servers, each by a socket that is connected to it, for the IPv4 and IPv6 addresses of names.
package struct NameServers {
    private let sockets: [Int32]
    /// When it gives up.
    private let end: BootInstant

    /// - Parameter sockets: Each connected to one server, over UDP. Who makes them keeps them.
    package init(_ sockets: [Int32], until end: BootInstant) {
        self.sockets = sockets
        self.end = end
    }

    /// What is known of a name.
    package enum Result: Hashable, Sendable {
        /// Each address as it is written. Not whole where nobody told those of one kind.
        case found([String], isWhole: Bool)
        /// It has none, for this reason; or nobody could tell for certain.
        case missing(String, isCertain: Bool)
    }

    private static let attempts = 2
    private static let patience = Duration.milliseconds(1500)
    /// What is read before it is plain that somebody sends what nobody asked for.
    private static let mostPackets = 64

    /// What a question came to.
    private enum Outcome {
        /// - Parameter isWhole: Of both kinds; otherwise only one was answered.
        case addresses([[UInt8]], isWhole: Bool)
        /// There is no such name, or it has no address.
        case none(String)
        /// A server cannot tell.
        case failed(String)
        case unanswered(String)
    }

    /// - Parameter candidates: The whole names that a name may mean: the first that has an address is meant.
    package func lookUp(_ candidates: [String]) -> Result {
        var reason = "there is no such name"
        var isCertain = true
        for candidate in candidates {
            switch ask(candidate) {
            case .addresses(let addresses, let isWhole):
                return .found(addresses.compactMap(Self.text), isWhole: isWhole)
            case .none(let words): if isCertain { reason = words }
            case .failed(let words): (reason, isCertain) = (words, false)
            // What it might have meant must not be taken for something else.
            case .unanswered(let words): return .missing(words, isCertain: false)
            }
        }
        return .missing(reason, isCertain: isCertain)
    }

    private func ask(_ candidate: String) -> Outcome {
        guard let name = DNSName(candidate) else { return .none("it is no name") }
        var open = DNSQuestion.RecordType.allCases
        var found: [[UInt8]] = []
        var failure: String?
        for _ in 0..<Self.attempts {
            for socket in sockets where .now < end && !open.isEmpty {
                let questions = open.map { DNSQuestion(id: .random(in: 0...UInt16.max), name: name, type: $0) }
                for (question, answer) in exchange(questions, on: socket) {
                    switch answer {
                    case .addresses(let addresses):
                        found += addresses
                        open.removeAll { $0 == question.type }
                    case .noSuchName: return .none("there is no such name")
                    case .failed(let code): failure = "a name server answered with code \(code)"
                    case .truncated: failure = "its addresses do not fit into a packet"
                    }
                }
            }
        }
        if !found.isEmpty { return .addresses(found, isWhole: open.isEmpty) }
        if open.isEmpty { return .none("the name has no address") }
        if let failure { return .failed(failure) }
        return .unanswered(
            "no answer from \(sockets.count == 1 ? "the name server" : "\(sockets.count) name servers")")
    }

    /// What comes back in time.
    private func exchange(_ questions: [DNSQuestion], on socket: Int32) -> [(DNSQuestion, DNSAnswer)] {
        var open = questions
        for question in questions {
            let message = question.message
            // What cannot be sent is not answered.
            _ = write(socket, message, message.count)
        }
        var answers: [(DNSQuestion, DNSAnswer)] = []
        let limit = min(.now + Self.patience, end)
        var buffer = [UInt8](repeating: 0, count: DNSQuestion.longestAnswer + 1)
        for _ in 0..<Self.mostPackets where !open.isEmpty {
            let left = (limit - .now).wholeNanoseconds / 1_000_000
            var wait = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard left > 0, poll(&wait, 1, Int32(clamping: left)) > 0 else { break }
            let count = recv(socket, &buffer, buffer.count, 0)
            // Refused, as a rule: there is no server.
            guard count >= 0 else { break }
            let message = Array(buffer[..<count])
            for (index, question) in open.enumerated() {
                guard let answer = DNSAnswer(message, to: question) else { continue }
                answers.append((question, answer))
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
