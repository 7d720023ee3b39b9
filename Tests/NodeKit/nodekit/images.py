"""Container images made from nothing but files of this machine.

As a program, `python3 images.py NAME TAR BUSYBOX COMMAND...` writes a busybox image for scripts/node/build, and
`python3 images.py --agent FOLDER` the agent's image beside its programs.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

AGENT_IMAGE = "node.local/squall:test"
AGENT_ARCHIVE = "squall.tar"
AGENT_PROGRAMS = ("squalld", "squall-gateway", "squall-runtimes", "squall-worker", "squall-deadman", "squall")

EMPTY_DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp", "var")
CREATED = 1700000000  # A constant, so that equal files make equal images.
USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUPS = b"root:x:0:\nnogroup:x:65534:\n"
# As ELF files number processors, and images name them.
ARCHITECTURES = {62: "amd64", 183: "arm64"}
OWN_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def _add(tar, name, **fields):
    data = fields.pop("data", b"")
    entry = tarfile.TarInfo(name)
    entry.mtime = CREATED
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    tar.addfile(entry, io.BytesIO(data))


def _layer(files, links):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        parents = set()
        for path in [*files, *links]:
            parts = path.strip("/").split("/")[:-1]
            parents.update("/".join(parts[: depth + 1]) for depth in range(len(parts)))
        for name in sorted(parents.union(EMPTY_DIRECTORIES)):
            _add(tar, name, type=tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        _add(tar, "etc/passwd", data=USERS, mode=0o644)
        _add(tar, "etc/group", data=GROUPS, mode=0o644)
        for path, source in sorted(files.items()):
            with open(source, "rb") as file:
                _add(tar, path.lstrip("/"), data=file.read(), mode=os.stat(source).st_mode & 0o777)
        for path, destination in sorted(links.items()):
            _add(tar, path.lstrip("/"), type=tarfile.SYMTYPE, linkname=destination, mode=0o777)
    return buffer.getvalue()


def _architecture(files):
    """What the programs among them are for; None where there is none."""
    for source in files.values():
        with open(source, "rb") as file:
            header = file.read(20)
        if header[:4] == b"\x7fELF":
            return ARCHITECTURES[int.from_bytes(header[18:20], "little")]
    return None


def write_image(name, tar_path, files, links=None, command=(), architecture=OWN_ARCHITECTURE):
    """Writes a docker-archive with one layer: `files` maps a path in the image to a file here. The `architecture` is
    that of an image without programs: containerd takes no other than its own."""
    layer = _layer(files, links or {})
    layer_digest = hashlib.sha256(layer).hexdigest()
    configuration = json.dumps(
        {
            "architecture": _architecture(files) or architecture,
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": {"Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"], "Cmd": list(command), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    configuration_name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = [{"Config": configuration_name, "RepoTags": [name], "Layers": [layer_name]}]
    with tarfile.open(tar_path, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, configuration_name, data=configuration, mode=0o644)
        _add(tar, layer_name, data=layer, mode=0o644)
        _add(tar, "manifest.json", data=json.dumps(manifest).encode(), mode=0o644)


def write_agent_archive(programs):
    files = {f"/{name}": os.path.join(programs, name) for name in AGENT_PROGRAMS}
    write_image(AGENT_IMAGE, os.path.join(programs, AGENT_ARCHIVE), files)


def import_archive(tar_path):
    """Hands an archive of `write_image` to containerd."""
    subprocess.run(
        ["ctr", "-n", "k8s.io", "images", "import", "--local", tar_path], check=True, capture_output=True, text=True
    )


def import_image(name, files, links=None):
    """Makes an image and hands it to containerd. Returns its name."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        write_image(name, tar.name, files, links)
        import_archive(tar.name)
    return name


def remove_image(name):
    subprocess.run(["ctr", "-n", "k8s.io", "images", "remove", "--sync", name], check=True, capture_output=True)


def busybox_links(busybox, emulator=None):
    """The links that make /bin/busybox a user land; `emulator` runs it where the processor does not."""
    command = [*filter(None, [emulator]), busybox, "--list"]
    applets = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {f"/bin/{applet}": "busybox" for applet in applets if applet != "busybox"}


def main():
    if sys.argv[1:2] == ["--agent"]:
        return write_agent_archive(sys.argv[2])
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("tar")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--busybox")
    parser.add_argument("--emulator")
    parser.add_argument("--architecture", default=OWN_ARCHITECTURE)
    parser.add_argument("--command", nargs="+", default=[])
    options = parser.parse_args()
    files = {f"/{os.path.basename(file)}": file for file in options.files}
    links = {}
    if options.busybox:
        files["/bin/busybox"] = options.busybox
        links = busybox_links(options.busybox, options.emulator)
    write_image(options.name, options.tar, files, links, options.command, options.architecture)


if __name__ == "__main__":
    main()
