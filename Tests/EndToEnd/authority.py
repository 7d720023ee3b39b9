"""A certificate authority of the tests' own."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    def __init__(self, directory, name):
        self.directory, self.name = Path(directory), name
        self.key = ec.generate_private_key(ec.SECP256R1())
        signs = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        usage = x509.KeyUsage(key_cert_sign=True, **signs)
        self.certificate = self.signed(name, self.key, [x509.BasicConstraints(ca=True, path_length=0), usage])
        self.file = self.directory / f"{name}.ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def signed(self, name, key, extensions, days=1):
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        extensions = [
            *extensions,
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        ]
        for extension in extensions:
            critical = isinstance(extension, (x509.BasicConstraints, x509.KeyUsage))
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, names=(), usage=ExtendedKeyUsageOID.CLIENT_AUTH, days=1):
        """A certificate and its key, as two files."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [x509.ExtendedKeyUsage([usage])]
        if names:
            extensions.append(x509.SubjectAlternativeName(list(names)))
        certificate = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate[0].write_bytes(self.signed(name, key, extensions, days).public_bytes(Encoding.PEM))
        certificate[1].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return certificate

    def issue_server(self, name):
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return self.issue(name, [here, x509.DNSName("localhost")], usage=ExtendedKeyUsageOID.SERVER_AUTH)
