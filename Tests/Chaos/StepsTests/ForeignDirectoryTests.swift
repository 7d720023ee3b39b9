import Cgroups
import ChaosModel
import Glibc
import LinuxSystem
import Namespaces
import Steps
import Targets
import TestKit
import Testing

@Suite(
    .enabled(
        if: geteuid() == 0 && access("/proc/1/ns/net", R_OK) == 0,
        "needs root, and to see the namespaces of the first process"))
struct ForeignDirectoryTests {
    @Test func `a part of the host makes no file in the agent's own state`() async throws {
        let own = "/var/tmp/squall-test-\(getpid())-own"
        let link = "/var/tmp/squall-test-\(getpid())-link"
        for directory in [own, "\(own)/below", "\(own)-beside"] {
            try systemCall("mkdir", on: directory) { mkdir(directory, 0o755) }
        }
        defer {
            unlink(link)
            for directory in ["\(own)/below", own, "\(own)-beside"] { rmdir(directory) }
        }
        try systemCall("symlink", on: link) { symlink(own, link) }

        let cgroups = try CgroupTree()
        let thread = try NamespaceThread()
        let cgroup = try TemporaryCgroup()
        let runner = StepRunner(thread: thread, spawner: try NamespaceThread(), cgroups: cgroups)
        await runner.use(stateDirectory: own)
        let resolver = try TargetResolver(containers: NoContainers(), cgroups: cgroups, thread: thread)
        let child = try Child()
        let id = child.id
        let codes: [ProblemCode?]
        do {
            for file in cgroup.files("cgroup.procs") { try TextFile.write("\(id)", to: file) }
            let started = try ProcessFacts(ofProcess: id).startTime
            let target = try await resolver.resolve(.process(id: id, startTime: started))
            #expect(!target.facts.isHost)
            var found: [ProblemCode?] = []
            for path in [own, "\(own)/below", link, "\(link)/below", "\(own)-beside"] {
                found.append(try await code(of: path, on: target, by: runner))
            }
            codes = found
        } catch {
            try child.end()
            cgroup.remove()
            throw error
        }
        try child.end()
        cgroup.remove()
        #expect(codes == [.targetProtected, .targetProtected, .targetProtected, .targetProtected, nil])
    }

    /// What the refusal says; nil where it is taken.
    private func code(of path: String, on target: ResolvedTarget, by runner: StepRunner) async throws -> ProblemCode? {
        let fill = DiskFill(
            directory: path, amount: .bytes(ByteCount(4096)), reserve: try #require(Percentage(1)), isVisible: false)
        do throws(Problem) {
            _ = try await runner.prepare([.fillDisk(fill)], on: target)
            return nil
        } catch {
            return error.code
        }
    }
}
