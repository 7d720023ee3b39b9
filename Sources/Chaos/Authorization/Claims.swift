import ChaosModel
import LinuxSystem

/// The claims of a verified token, taken one by one; what nobody has taken at the end is refused.
struct Claims {
    private var left: [JSON.Member]

    init(payload: [UInt8]) throws(Problem) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: payload)
        } catch {
            throw Problem(.requestMalformed, "the token's payload is not acceptable JSON: \(error)")
        }
        guard let members = json.members else {
            throw Problem(.requestMalformed, "the token's payload is \(json.typeName), not an object")
        }
        left = members
    }

    mutating func take(_ name: String) -> JSON? {
        guard let index = left.firstIndex(where: { $0.name == name }) else { return nil }
        return left.remove(at: index).value
    }

    func refuseUntaken() throws(Problem) {
        guard let unknown = left.first else { return }
        let name = String(unknown.name.prefix(64))
        throw Problem(
            .fieldUnknown, "the claim \"\(name)\" means nothing to this operation", field: name,
            hint: "an agent that does not know a claim cannot honour it: leave it out")
    }

    mutating func required(_ name: String) throws(Problem) -> JSON {
        guard let value = take(name) else {
            throw Problem(.fieldMissing, "the claim \"\(name)\" is missing", field: name)
        }
        return value
    }

    mutating func optionalText(_ name: String) throws(Problem) -> String? {
        guard let value = take(name) else { return nil }
        return try Self.text(value, name)
    }

    mutating func text(_ name: String) throws(Problem) -> String {
        try Self.text(required(name), name)
    }

    /// Text for people that is safe to show and to log: no control characters, nothing that turns the direction
    /// of writing.
    mutating func optionalProse(_ name: String) throws(Problem) -> String? {
        guard let text = try optionalText(name) else { return nil }
        guard text.unicodeScalars.count <= 256 else {
            throw Problem(.fieldInvalid, "\"\(name)\" is longer than 256 characters", field: name)
        }
        guard text.unicodeScalars.allSatisfy(\.isSafeProse) else {
            throw Problem(.fieldInvalid, "\"\(name)\" has control characters", field: name)
        }
        return text
    }

    /// An instant in whole seconds since 1970.
    mutating func instant(_ name: String) throws(Problem) -> Int64 {
        try Self.instant(required(name), name)
    }

    mutating func optionalInstant(_ name: String) throws(Problem) -> Int64? {
        guard let value = take(name) else { return nil }
        return try Self.instant(value, name)
    }

    mutating func optionalDuration(_ name: String) throws(Problem) -> Duration? {
        guard let text = try optionalText(name) else { return nil }
        guard let duration = Duration(text: text) else {
            throw Problem(
                .fieldInvalid, "\"\(name)\" is not a duration", field: name, hint: "write it as 500ms, 30s or 1m30s")
        }
        return duration
    }

    private static func text(_ value: JSON, _ name: String) throws(Problem) -> String {
        guard let text = value.stringValue else {
            throw Problem(.fieldInvalid, "\"\(name)\" is \(value.typeName), not a string", field: name)
        }
        return text
    }

    /// Up to the year 9999, so that no arithmetic on it can overflow.
    private static func instant(_ value: JSON, _ name: String) throws(Problem) -> Int64 {
        guard let seconds = value.integerValue, (0...253_402_300_799).contains(seconds) else {
            throw Problem(
                .fieldInvalid, "\"\(name)\" is not an instant", field: name,
                hint: "write whole seconds since 1970, without quotes or fraction")
        }
        return seconds
    }
}
