import AgentAPI
import ChaosModel
import ContainerRuntimes
import Testing

struct RuntimeExchangeTests {
    @Test(arguments: [
        RuntimeQuestion.container("4f6b1c2d3e4f"), .list, .status, .stop("4f6b1c2d3e4f", graceSeconds: 0),
        .stop("4f6b1c2d3e4f", graceSeconds: 3600), .named(exampleName),
        .find(PodSelector(namespace: "shop", name: "web-0")),
        .find(
            PodSelector(namespace: "shop", uid: "u", labels: ["app": "shop", "example.org/tier": ""], container: "c")),
    ])
    func `a question survives its frame`(question: RuntimeQuestion) {
        #expect(question.frame.kind == .question)
        #expect(RuntimeQuestion(payload: question.frame.payload) == question)
    }

    @Test(arguments: [
        "", "list", "{}", #"{"ask":"all"}"#, #"{"ask":"container"}"#, #"{"ask":"container","id":4}"#,
        #"{"ask":"container","name":"a/b"}"#, #"{"ask":"container","id":"4f6b1c2d3e4f","name":"shop-db"}"#,
        #"{"ask":"find"}"#, #"{"ask":"find","pod":{"namespace":"shop"}}"#, #"{"ask":"find","pod":{"name":"web-0"}}"#,
        #"{"ask":"list","id":"4f6b1c2d3e4f"}"#, #"{"ask":"status","more":true}"#,
        #"{"ask":"stop","id":"4f6b1c2d3e4f"}"#, #"{"ask":"stop","graceSeconds":0}"#,
        #"{"ask":"stop","id":"4f6b1c2d3e4f","graceSeconds":-1}"#,
        #"{"ask":"stop","id":"4f6b1c2d3e4f","graceSeconds":3601}"#,
        #"{"ask":"stop","id":"4f6b1c2d3e4f","graceSeconds":"0"}"#,
        #"{"ask":"stop","id":"4f6b1c2d3e4f","graceSeconds":0,"more":true}"#,
    ])
    func `what is no question is refused`(text: String) {
        #expect(RuntimeQuestion(payload: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        RuntimeAnswer.container(exampleContainer),
        .container(
            RuntimeContainer(
                id: "c", name: "n", processID: 2, cgroupsPath: nil, createdAt: 0,
                sandbox: RuntimeSandbox(
                    id: "s", processID: nil, podName: "", podNamespace: "", podUID: "", labels: [:], annotations: [:],
                    usesHostNetwork: true))),
        .container(
            RuntimeContainer(id: "c", name: "n", processID: 2, cgroupsPath: nil, createdAt: nil, sandbox: nil)),
        .list([]),
        .list([
            RuntimePod(uid: "uid-1", containers: [.init(id: "c", name: "web")]),
            RuntimePod(uid: "", containers: [.init(id: "e", name: "shop-db")]),
            RuntimePod(uid: "uid-2", containers: [.init(id: "d", name: "init", isRunning: false)]),
        ]),
        .status([
            RuntimeStatus(socket: "/a", availability: .available(runtime: "containerd", version: "1.7.24")),
            RuntimeStatus(socket: "/b", availability: .absent),
            RuntimeStatus(socket: "/c", availability: .unreachable(reason: "no answer in time")),
            RuntimeStatus(socket: "/d", availability: .dispensable(reason: "no answer in time")),
        ]),
        .failure(.notFound),
        .failure(.notRunning(.exited)),
        .failure(.unreachable(reason: "connection refused")),
        .failure(.refused(reason: "status 12: unknown service")),
        .failure(.unconfirmed(reason: "no answer in time")),
        .failure(.ambiguous),
        .failure(.unserved(reason: "unknown service")),
        .stopped(exitCode: 137),
        .stopped(exitCode: nil),
    ])
    func `an answer survives its frame`(answer: RuntimeAnswer) throws {
        let payload = try #require(Answer(payload: answer.answer.frame.payload))
        #expect(RuntimeAnswer(payload) == answer)
    }

    @Test func `an answer names its parts`() {
        #expect(
            RuntimeAnswer.container(exampleContainer).answer.body.text == #"""
                {"container":{"id":"4f6b1c2d3e4f","name":"web","pid":4711,\#
                "cgroupsPath":"kubepods-pod1.slice:cri-containerd:4f6b1c2d3e4f","createdAt":1700000000123456789,\#
                "sandbox":{"id":"9a8b7c6d5e4f","pid":4650,"name":"shop-0","namespace":"shop","uid":"uid-1",\#
                "labels":{"app":"shop"},\#
                "annotations":{"note":"a \"quoted\"\nline","squall.dev/allow":"true"},"hostNetwork":false}}}
                """#)
    }

    @Test(arguments: [
        #"{"container":{}}"#, #"{"container":{"id":"c","name":"n","pid":2,"sandbox":{}}}"#,
        #"{"container":{"id":"c","name":"n","pid":2,"createdAt":"now"}}"#, #"{"pods":[{"uid":"u"}]}"#,
        #"{"pods":[{"uid":"u","containers":[{"id":"c"}]}]}"#,
        #"{"runtimes":{}}"#, #"{"stopped":[]}"#, #"{"stopped":{"exitCode":"137"}}"#,
        #"{"stopped":{"exitCode":4294967296}}"#,
        #"{"failure":{"kind":"notRunning","state":"running"}}"#, #"{"failure":{"kind":"gone"}}"#, #"{}"#, "[]",
        #"{"pods":[],"runtimes":[]}"#,
    ])
    func `what is no answer is refused`(text: String) throws {
        #expect(RuntimeAnswer(Answer(status: 200, body: try JSON(parsing: text))) == nil)
    }

    @Test(arguments: [String(repeating: "x", count: 254), "café", "a\nb"])
    func `what is called as nothing can be keeps no other from being told`(name: String) throws {
        let told = RuntimeAnswer.list([
            RuntimePod(uid: "uid-1", containers: [.init(id: "c", name: "web"), .init(id: "d", name: name)]),
            RuntimePod(uid: "", containers: [.init(id: name, name: "shop-web"), .init(id: "e", name: "shop-db")]),
            RuntimePod(uid: name, containers: [.init(id: "f", name: "web")]),
        ])
        let expected = RuntimeAnswer.list([
            RuntimePod(uid: "uid-1", containers: [.init(id: "c", name: "web")]),
            RuntimePod(uid: "", containers: [.init(id: "e", name: "shop-db")]),
        ])
        let payload = try #require(Answer(payload: told.answer.frame.payload))
        #expect(RuntimeAnswer(payload) == expected)
    }

    @Test func `a container without a process is no answer`() {
        let text = RuntimeAnswer.container(exampleContainer).answer.body.text
        for number in ["0", "-1", "4294967297"] {
            let body = try? JSON(parsing: text.replacing("\"pid\":4711", with: "\"pid\":\(number)"))
            #expect(body.flatMap { RuntimeAnswer(Answer(status: 200, body: $0)) } == nil)
        }
    }
}
