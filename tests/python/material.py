"""Keys and certificates that the seed and the tests share: made anew for every run, so that none is kept here."""

import base64
import datetime
import json
from string import Template

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs12


def _certificate(name: str, key) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=7))
    return builder.sign(key, hashes.SHA256())


class Material:
    """Whatever a seed and a test must both know."""

    def __init__(self) -> None:
        self.public_key = ec.generate_private_key(ec.SECP384R1()).public_key()
        client_key = rsa.generate_private_key(65537, 2048)
        client = _certificate("client", client_key).public_bytes(Encoding.PEM)
        private = client_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.client_certificate = client.decode()
        self.client_key_and_certificate = private + client
        web_key = ec.generate_private_key(ec.SECP256R1())
        self.leaf = _certificate("web.test", web_key)
        self.pfx = pkcs12.serialize_key_and_certificates(b"web", web_key, self.leaf, None, NoEncryption())

    def fill(self, seed: str) -> str:
        """The seed with this material in it; a JSON string is a YAML string."""
        spki = self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return Template(seed).substitute(
            client_certificate=json.dumps(self.client_certificate),
            public_key=json.dumps(spki.decode()),
            pfx=json.dumps(base64.b64encode(self.pfx).decode()),
            leaf=json.dumps(base64.b64encode(self.leaf.public_bytes(Encoding.DER)).decode()),
        )


def other_client() -> bytes:
    """Key and certificate of a client that is not registered, as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + _certificate("unregistered", key).public_bytes(Encoding.PEM)
