//! The first bytes tell what a connection speaks.

use std::{io::Write, os::unix::net::UnixStream, sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use wharf::settings::{ListenAddress, Settings, Times, TlsFiles};

use crate::rig::{get, settings, start, start_with};

const CONNECT: &str = "{\"id\":1,\"connect\":{}}\n";

#[test]
fn json_lines_are_known_by_their_first_byte_however_the_bytes_come() {
    let rig = start();
    let mut client = rig.connect();
    for byte in CONNECT.bytes() {
        client.send([byte]);
    }
    let reply = client.until("\n");
    assert!(reply.contains("\"connect\":{\"client\":"), "{reply}");
}

#[test]
fn line_ends_before_the_first_byte_are_skipped() {
    let rig = start();
    let mut client = rig.connect();
    client.send(format!("\r\n\r\n{CONNECT}"));
    assert!(client.until("\n").contains("\"connect\""));
    let mut client = rig.connect();
    client.send(format!("\r\n{}", get("/health")));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_request_split_at_every_byte_is_answered() {
    let rig = start();
    let request = get("/health");
    for at in 1..request.len() {
        let mut client = rig.connect();
        client.send(&request[..at]);
        client.send(&request[at..]);
        assert_eq!(client.answer().status(), 200, "split at {at}");
    }
}

#[test]
fn what_nobody_speaks_is_told_what_is_spoken_and_closed() {
    let rig = start();
    for junk in ["hello\r\n", "\0\0\0\0", "[1,2]", "\x16\x05\x01"] {
        let mut client = rig.connect();
        client.send(junk);
        let hint = client.rest();
        assert!(hint.contains("JSON lines") && hint.ends_with('\n') && hint.lines().count() == 1, "{hint:?}");
    }
}

// Row 76.
#[test]
fn a_proxy_header_is_not_believed() {
    let rig = start();
    let mut client = rig.connect();
    client.send(format!("PROXY TCP4 10.0.0.1 10.0.0.2 5000 80\r\n{}", get("/health")));
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("200 OK"), "{answer}");
}

// Row 42.
#[test]
fn a_client_that_says_nothing_is_closed_in_time() {
    let times = Times { first_byte_ms: 50, ..Times::default() };
    let rig = start_with(Settings { times, ..settings() });
    assert_eq!(rig.connect().rest(), "");
}

// Row 40.
#[test]
fn a_head_that_stops_is_answered_408_in_time() {
    let times = Times { http_head_ms: 200, ..Times::default() };
    let rig = start_with(Settings { times, ..settings() });
    let mut client = rig.connect();
    let started = std::time::Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Drip: aaa");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn an_idle_connection_is_closed_quietly_after_its_time() {
    let times = Times { http_idle_ms: 50, ..Times::default() };
    let rig = start_with(Settings { times, ..settings() });
    let mut client = rig.connect();
    client.send(get("/health"));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_unix_path_speaks_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.sock");
    let listen = vec![ListenAddress::Unix(path.clone())];
    let _rig = start_with(Settings { listen, ..settings() });
    for (said, expected) in
        [(get("/health"), "HTTP/1.1 200 OK"), (CONNECT.to_owned(), "{\"id\":1,\"connect\"")]
    {
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(said.as_bytes()).unwrap();
        let mut start = vec![0; expected.len()];
        std::io::Read::read_exact(&mut socket, &mut start).unwrap();
        assert_eq!(String::from_utf8(start).unwrap(), expected);
    }
}

fn tls_rig() -> (crate::rig::Rig, ClientConfig, tempfile::TempDir) {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files =
        TlsFiles { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
    std::fs::write(&files.certificate, certificate.cert.pem()).unwrap();
    std::fs::write(&files.key, certificate.signing_key.serialize_pem()).unwrap();
    let rig = start_with(Settings { tls: Some(files), ..settings() });
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (rig, config, directory)
}

#[test]
fn tls_is_told_apart_and_everything_speaks_inside_it() {
    let (rig, config, _files) = tls_rig();
    let websocket = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (said, expected) in [
        (get("/health"), "HTTP/1.1 200 OK"),
        (CONNECT.to_owned(), "{\"id\":1,\"connect\""),
        (websocket.to_owned(), "HTTP/1.1 101 "),
    ] {
        let socket = std::net::TcpStream::connect(rig.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let client =
            ClientConnection::new(Arc::new(config.clone()), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, socket);
        stream.write_all(said.as_bytes()).unwrap();
        let mut start = vec![0; expected.len()];
        std::io::Read::read_exact(&mut stream, &mut start).unwrap();
        assert_eq!(String::from_utf8(start).unwrap(), expected);
    }
    // Plain text beside it, on the same port.
    assert_eq!(rig.ask(&get("/health")).status(), 200);
}

// Row 75.
#[test]
fn a_client_hello_that_does_not_come_is_closed_in_time() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files =
        TlsFiles { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
    std::fs::write(&files.certificate, certificate.cert.pem()).unwrap();
    std::fs::write(&files.key, certificate.signing_key.serialize_pem()).unwrap();
    let times = Times { http_head_ms: 100, ..Times::default() };
    let rig = start_with(Settings { tls: Some(files), times, ..settings() });
    let mut client = rig.connect();
    client.send([0x16, 3, 1, 2, 0, 1]);
    assert_eq!(client.rest(), "");
}

#[test]
fn tls_without_a_certificate_is_refused_with_an_alert() {
    let rig = start();
    let mut client = rig.connect();
    client.send([0x16, 3, 1, 2, 0, 1]);
    assert_eq!(client.exactly(7), [0x15, 3, 3, 0, 2, 2, 40]);
}

#[test]
fn a_connection_over_the_limit_is_told_so() {
    let mut settings = settings();
    settings.limits.connections = 1;
    let rig = start_with(settings);
    let mut first = rig.connect();
    first.send(CONNECT);
    first.until("\n");
    let turned_away = rig.connect().rest();
    assert!(turned_away.starts_with("HTTP/1.1 503 ") && turned_away.contains("come back"), "{turned_away}");
    first.send("{\"id\":2,\"presence\":{\"channel\":\"a\"}}\n");
    assert!(first.until("\n").contains("\"id\":2"));
}
