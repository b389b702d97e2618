//! What a peer may send once its handshake is over.

use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::{self as sys, RecvFlags};
use trunkline_tls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use trunkline_tls::rustls::crypto::ring::default_provider;
use trunkline_tls::rustls::pki_types::pem::PemObject as _;
use trunkline_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use trunkline_tls::rustls::time_provider::TimeProvider;
use trunkline_tls::rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    RootCertStore, ServerConfig, SupportedCipherSuite,
};

use super::Tls;
use crate::socket::Socket;
use crate::watched::Watched;

/// For `localhost`, until 2126. The key is for these tests only.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBiTCCAS6gAwIBAgIUBAiRLXfvC7ngzm7ODaoRk/qmgz4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjEyMDEwNTAzMzNaGA8yMTI2MTEwNzA1MDMz
M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGf7
PmjBmgPdWbSFZsKWW1zkm8gVRf5NhX+CVodzvufO0q5DoQSIa8tC6MYe8yGmrlrz
kyfscV3dF6JeNlr3otmjZjBkMB0GA1UdDgQWBBSYC/b2pe/G/BekjwQzUTs9zbQH
VjAfBgNVHSMEGDAWgBSYC/b2pe/G/BekjwQzUTs9zbQHVjAUBgNVHREEDTALggls
b2NhbGhvc3QwDAYDVR0TAQH/BAIwADAKBggqhkjOPQQDAgNJADBGAiEA+hguAjlQ
YghqNt4BdujcwzGYemrJRI/83e7I2YPr6kMCIQDYokiq62K65A35HK4lbkv4WjxH
1ic4pQs5LewS86cRiQ==
-----END CERTIFICATE-----
";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgg9DlwF41kN94f309
8YZki5W616GxCZPuO7TOLXSVdQehRANCAARn+z5owZoD3Vm0hWbClltc5JvIFUX+
TYV/glaHc77nztKuQ6EEiGvLQujGHvMhpq5a85Mn7HFd3ReiXjZa96LZ
-----END PRIVATE KEY-----
";

/// A time at which the certificate is valid: the middle of its years.
#[derive(Debug)]
struct Then;

impl TimeProvider for Then {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(3_000_000_000)))
    }
}

/// A client and the node's end of its stream, before their handshake.
fn strangers() -> (ClientConnection, TcpStream, Tls) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("PEM");
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate and its key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let mut client = ClientConfig::builder_with_details(provider, Arc::new(Then))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    let name = "localhost".try_into().expect("a name");
    let client = ClientConnection::new(Arc::new(client), name).expect("a client");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // Accepted streams inherit this from the listener.
    sys::sockopt::set_socket_recv_buffer_size(&listener, 512 * 1024).expect("open");
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (accepted, _) = listener.accept().expect("somebody waits");
    accepted.set_nonblocking(true).expect("open");
    stream.set_nonblocking(true).expect("open");
    let tls = Tls::new(accepted.into(), Arc::new(server)).expect("a good configuration");
    (client, stream, tls)
}

/// A client and the node's end of its stream, after their handshake.
fn pair() -> (ClientConnection, TcpStream, Tls) {
    let (mut client, mut stream, tls) = strangers();
    loop {
        while client.wants_write() {
            client.write_tls(&mut stream).expect("room");
        }
        if tls.shake_hands().expect("nobody breaks a rule") {
            break;
        }
        if client.read_tls(&mut stream).is_ok() {
            client.process_new_packets().expect("the node breaks no rule");
        }
    }
    stream.set_nonblocking(false).expect("open");
    (client, stream, tls)
}

#[test]
fn a_first_message_that_does_not_end_is_held_only_so_far() {
    let (_client, mut stream, tls) = strangers();
    // A `ClientHello` that claims to be as long as a message may be, in records of 1 KiB.
    let mut record = vec![22, 3, 1, 4, 0];
    record.extend([1, 0, 0xff, 0xff]);
    record.resize(5 + 1024, 0);
    let ended_after = (1..=64).find(|_| {
        stream.write_all(&record).expect("room");
        record[5..9].fill(0);
        assert!(tls.held_bytes() < 34 * 1024, "{} bytes are kept", tls.held_bytes());
        tls.shake_hands().is_err()
    });
    assert_eq!(ended_after, Some(32), "the headers count, too");
}

#[test]
fn a_message_of_the_handshake_in_ever_more_pieces_ends_the_stream() {
    let (client, mut stream, tls) = pair();
    let Some(SupportedCipherSuite::Tls13(suite)) = client.negotiated_cipher_suite() else {
        panic!("TLS 1.3 is there");
    };
    let secrets = client.dangerous_extract_secrets().expect("the handshake is over");
    let (mut number, secrets) = secrets.tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("the first suite of the list");
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let mut record = |piece: &[u8]| {
        let (typ, version) = (ContentType::Handshake, ProtocolVersion::TLSv1_3);
        let payload = OutboundChunks::Single(piece);
        let message = OutboundPlainMessage { typ, version, payload };
        let record = encrypter.encrypt(message, number).expect("few records");
        number += 1;
        record.encode()
    };
    // An update of keys that claims to be as long as a message may be.
    let mut sent = record(&[24, 0, 0xff, 0xff]);
    let failed = (0..4_000).find_map(|_| {
        sent.extend(record(&[0]));
        stream.write_all(&std::mem::take(&mut sent)).expect("room");
        let read = tls.read(&mut [0; 4096]);
        assert!(tls.held_bytes() < 64 * 1024, "{} bytes are kept", tls.held_bytes());
        read.err().filter(|error| error.kind() != ErrorKind::WouldBlock)
    });
    assert_eq!(failed.expect("nobody needs so many").kind(), ErrorKind::InvalidData);
}

#[test]
fn records_that_carry_next_to_nothing_do_not_keep_a_read_from_returning() {
    let (mut client, mut stream, tls) = pair();
    let budget = super::state::READ_BUDGET_BYTES;
    let mut records = Vec::new();
    let mut bytes = 0;
    while records.len() < budget - 8 * 1024 {
        for _ in 0..32 {
            client.refresh_traffic_keys().expect("TLS 1.3");
        }
        client.writer().write_all(b"x").expect("room");
        bytes += 1;
        while client.wants_write() {
            client.write_tls(&mut records).expect("memory");
        }
    }
    // One more record, so that the budget and the stream are empty at the same time.
    let overhead = 22;
    let last = vec![b'x'; budget - records.len() - overhead];
    bytes += last.len();
    client.writer().write_all(&last).expect("room");
    while client.wants_write() {
        client.write_tls(&mut records).expect("memory");
    }
    assert_eq!(records.len(), budget);
    stream.write_all(&records).expect("room");
    let mut there = vec![0; budget];
    while sys::recv(tls.stream(), &mut there, RecvFlags::PEEK).is_ok_and(|(all, _)| all < budget) {
        std::thread::yield_now();
    }

    let mut into = vec![0; 64 * 1024];
    assert_eq!(tls.read(&mut into).expect("bytes"), bytes);
    assert!(tls.has_input(), "nobody has seen that the stream is empty");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _guard = runtime.enter();
    let watched = Watched::new(Socket::from(tls)).expect("a reactor");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(watched.poll_peek(&mut cx), Poll::Pending), "it is empty, not broken");
    assert!(!watched.socket().has_input());
    drop(stream);
}
