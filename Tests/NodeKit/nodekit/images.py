"""Container images made from nothing but files of this machine.

As a program, `python3 images.py NAME TAR BUSYBOX COMMAND...`, writes a busybox image for scripts/node/build.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

EMPTY_DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp", "var")
CREATED = 1700000000  # A constant, so that equal files make equal images.
USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUPS = b"root:x:0:\nnogroup:x:65534:\n"


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


def write_image(name, tar_path, files, links=None, command=()):
    """Writes a docker-archive with one layer: `files` maps a path in the image to a file here."""
    layer = _layer(files, links or {})
    layer_digest = hashlib.sha256(layer).hexdigest()
    configuration = json.dumps(
        {
            "architecture": "amd64",
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


def import_image(name, files, links=None):
    """Makes an image and hands it to containerd. Returns its name."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        write_image(name, tar.name, files, links)
        subprocess.run(
            ["ctr", "-n", "k8s.io", "images", "import", "--local", tar.name], check=True, capture_output=True, text=True
        )
    return name


def remove_image(name):
    subprocess.run(["ctr", "-n", "k8s.io", "images", "remove", "--sync", name], check=True, capture_output=True)


def busybox_links(busybox):
    """The links that make /bin/busybox a user land."""
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    return {f"/bin/{applet}": "busybox" for applet in applets if applet != "busybox"}


def main():
    name, tar, busybox, *command = sys.argv[1:]
    write_image(name, tar, {"/bin/busybox": busybox}, busybox_links(busybox), command)


if __name__ == "__main__":
    main()
