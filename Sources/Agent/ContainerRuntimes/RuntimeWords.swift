internal import ChaosModel

/// What the runtimes process says is kept, told and written down: names are names, and no longer than any can be.
extension JSON {
    /// Nil for what is no text, too long, or has characters that no name has.
    func name(_ member: String) -> String? {
        guard let text = self[member]?.stringValue, text.utf8.count <= 253,
            text.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
        else { return nil }
        return text
    }
}
