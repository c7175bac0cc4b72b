"""The authority that every node derives for itself: who trusts whom, what is in a leaf, when it is renewed."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from failoverd.coordinators.etcd.managed.certificates import LIFE, RENEW_BEFORE, Certificates, authority_key

KEY, OTHER_KEY = b"k" * 32, b"x" * 32
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def made(
    directory: Path, node: str, *, key: bytes = KEY, cluster: str = "shop", host: str = "10.0.0.1"
) -> Certificates:
    certificates = Certificates(
        key,
        cluster=cluster,
        node=node,
        names=[host, "node.example"],
        ca_file=directory / node / "ca.pem",
        pem_file=directory / node / "member.pem",
    )
    # Python judges by the machine's own clock.
    assert certificates.renew(text(datetime.now(UTC)))
    return certificates


def leaf(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.pem_file.read_bytes())


def shaken(client: Certificates, server: Certificates, host: str) -> bool:
    """Whether a TLS handshake succeeds, each asking for the other's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.client_context().wrap_bio(to_client, to_server, server_hostname=host),
        server.server_context().wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return not ends


def test_nodes_with_one_key_trust_each_other(tmp_path: Path) -> None:
    a, b = made(tmp_path, "a"), made(tmp_path, "b", host="10.0.0.2")
    assert shaken(a, b, "10.0.0.2")
    assert shaken(b, a, "10.0.0.1")
    assert shaken(b, a, "node.example")
    assert shaken(a, a, "127.0.0.1")
    assert not shaken(a, b, "10.0.0.1"), "a name that is not its own"


def test_another_key_or_cluster_is_not_trusted(tmp_path: Path) -> None:
    a = made(tmp_path, "a")
    for stranger in (made(tmp_path, "k", key=OTHER_KEY), made(tmp_path, "c", cluster="mail")):
        assert not shaken(a, stranger, "10.0.0.1")
        assert not shaken(stranger, a, "10.0.0.1")


@given(st.binary(min_size=32, max_size=32), st.text("abc-", min_size=1, max_size=8))
def test_the_authority_is_a_function_of_key_and_name(key: bytes, cluster: str) -> None:
    def public(key: bytes, cluster: str) -> bytes:
        found = authority_key(key, cluster).public_key()
        return found.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)

    assert public(key, cluster) == public(key, cluster)
    assert public(key, cluster) != public(key, cluster + "x")
    assert public(key, cluster) != public(bytes([key[0] ^ 1]) + key[1:], cluster)


def test_the_authority_never_changes() -> None:
    """Nodes of different versions are one cluster: what is derived is for ever."""
    found = authority_key(bytes(range(32)), "shop").public_key()
    shown = found.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint).hex()
    assert shown == "03b60306877f760acc737cf7bc3720f8e4ebb3f412e20b18c5957564f26485f926"


def test_leaf_is_for_both_ends_and_has_no_common_name(tmp_path: Path) -> None:
    """The gateway is a client of its own server, and refuses common names once etcd has users."""
    found = leaf(made(tmp_path, "a"))
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert not found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert found.not_valid_before_utc.year == 1970, "a clock that was never set is no reason to be shut out"


def test_private_keys_are_the_owners_alone_and_the_authoritys_is_nowhere(tmp_path: Path) -> None:
    certificates = made(tmp_path, "a")
    files = list((tmp_path / "a").iterdir())
    assert {path.name for path in files} == {"ca.pem", "member.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert b"PRIVATE" not in certificates.ca_file.read_bytes()
    private = serialization.load_pem_private_key(certificates.pem_file.read_bytes(), None)
    mine = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    authority = x509.load_pem_x509_certificate(certificates.ca_file.read_bytes()).public_key()
    assert mine != authority.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_renewed_in_time_and_in_place(tmp_path: Path) -> None:
    certificates = made(tmp_path, "a")
    begun = datetime.now(UTC)
    first, context = leaf(certificates), certificates.client_context()
    assert not certificates.renew(text(begun + LIFE - RENEW_BEFORE - timedelta(hours=1)))
    assert certificates.renew(text(begun + LIFE - RENEW_BEFORE + timedelta(hours=1)))
    second = leaf(certificates)
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert second.serial_number != first.serial_number
    assert certificates.client_context() is context, "whoever uses it has the new one too"


def test_a_clock_that_was_set_forward_renews_at_once(tmp_path: Path) -> None:
    certificates = made(tmp_path, "a")
    assert certificates.renew(text(datetime.now(UTC) + timedelta(days=3650)))


def test_files_that_were_taken_away_are_made_again(tmp_path: Path) -> None:
    certificates = made(tmp_path, "a")
    certificates.pem_file.unlink()
    assert certificates.renew(text(datetime.now(UTC)))
    assert certificates.pem_file.exists()


@pytest.mark.parametrize("name", ["shop", "x" * 63])
def test_names_fit_into_a_certificate(tmp_path: Path, name: str) -> None:
    assert shaken(made(tmp_path, "a", cluster=name), made(tmp_path, "b", cluster=name), "10.0.0.1")
