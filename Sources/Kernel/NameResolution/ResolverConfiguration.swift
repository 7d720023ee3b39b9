/// Whom a machine or a container asks for names, and for which: the part of `resolv.conf(5)` that decides it.
package struct ResolverConfiguration: Hashable, Sendable {
    /// IP addresses as they are written, at most three.
    package let nameServers: [String]
    /// Domains in which a name is looked for, at most six.
    package let search: [String]
    /// A name with so many dots is looked for as it is first.
    package let dots: Int

    private static let (mostServers, mostDomains, mostDots) = (3, 6, 15)

    /// Reads the file's text. What says nothing that matters here is skipped, as the C library does.
    package init(_ text: String) {
        var (servers, search, dots): ([String], [String], Int) = ([], [], 1)
        for words in text.linesOfWords {
            switch words.first {
            case "nameserver": servers += words.dropFirst().prefix(1)
            // The last of these lines counts.
            case "search", "domain": search = words.dropFirst().filter { DNSName($0)?.isOfLetters ?? ($0 == ".") }
            case "options":
                for word in words where word.hasPrefix("ndots:") {
                    dots = Int(word.dropFirst("ndots:".count)).map { min(max($0, 0), Self.mostDots) } ?? dots
                }
            default: continue
            }
        }
        self.nameServers = servers.isEmpty ? ["127.0.0.1"] : Array(servers.prefix(Self.mostServers))
        self.search = Array(search.prefix(Self.mostDomains))
        self.dots = dots
    }

    /// The whole names that a name may mean, in the order in which they are asked for: the first that has an address is
    /// meant.
    package func candidates(for name: String) -> [String] {
        if name.hasSuffix(".") { return [name] }
        let inDomains = search.map { domain in
            let domain = domain.hasSuffix(".") ? String(domain.dropLast()) : domain
            return domain.isEmpty ? name : "\(name).\(domain)"
        }.filter { DNSName($0) != nil }
        return name.count(where: { $0 == "." }) >= dots ? [name] + inDomains : inDomains + [name]
    }
}

/// Names that need no server: `hosts(5)`.
package struct HostsFile: Sendable {
    private let addresses: [String: [String]]

    /// Reads the file's text: on each line an address, then its names.
    package init(_ text: String) {
        var addresses: [String: [String]] = [:]
        for words in text.linesOfWords {
            guard let address = words.first else { continue }
            for name in words.dropFirst() { addresses[name.lowercased(), default: []].append(address) }
        }
        self.addresses = addresses
    }

    /// As they are written.
    package func addresses(of name: String) -> [String] {
        addresses[(name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()] ?? []
    }
}

extension String {
    private static let longestLine = 1024

    /// The words of each line before a comment. Somebody else has written it: it is read byte by byte, and what is no ASCII,
    /// or no line of people, is left out.
    fileprivate var linesOfWords: [[String]] {
        utf8.split(separator: UInt8(ascii: "\n")).lazy.filter { $0.count <= Self.longestLine }.map { line in
            line.prefix { $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: ";") }
                .split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
                .filter { $0.allSatisfy { (0x21...0x7E).contains($0) } }
                .map { String(decoding: $0, as: UTF8.self) }
        }
    }
}
