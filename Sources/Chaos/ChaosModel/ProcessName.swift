/// Names a process by its program, and by whose it is.
package struct ProcessName: Hashable, Sendable {
    /// Its file's name, as `redis-server`, or what the process calls itself (`/proc/PID/comm`); 1 to 255 bytes.
    package let program: String
    /// A user's name or number; nil for anybody's.
    package let user: String?

    package init(program: String, user: String?) {
        (self.program, self.user) = (program, user)
    }

    /// Reads `{"name": "redis-server", "user": "redis"}`.
    init(_ json: JSON, field: String) throws(Problem) {
        if let unknown = json.members?.first(where: { !["name", "user"].contains($0.name) }) {
            throw Problem(
                .fieldUnknown, "a process is named by name and user, or by pid and startTime",
                field: "\(field).\(unknown.name)")
        }
        guard let program = json["name"]?.stringValue, (1...255).contains(program.utf8.count),
            !program.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") })
        else {
            throw Problem(
                .fieldInvalid, "a program is named by its file's name, without its folder", field: "\(field).name")
        }
        let user = json["user"]?.stringValue ?? json["user"]?.integerValue.map(String.init)
        if json["user"] != nil {
            guard let user, (1...255).contains(user.utf8.count), !user.utf8.contains(where: { $0 < 0x21 || $0 == 0x3A })
            else {
                throw Problem(.fieldInvalid, "a user is a name or a number", field: "\(field).user")
            }
        }
        self.init(program: program, user: user)
    }

    var json: JSON { .object([("name", .string(program)), ("user", user.map(JSON.string))]) }

    /// As a person would say it.
    package var words: String { program + (user.map { " of user \($0)" } ?? "") }
}
