//! TLS, both sides.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wharf::socket::{ClientTls, End, Listener, OpenError, ServerTls, Socket};
use wharf_proto::framing::Lines;

use crate::rig::{certificates, echo, soon, text};

fn serving(folder: &Path) -> ServerTls {
    ServerTls::showing(folder.join("localhost.pem"), folder.join("localhost.key"))
}

fn trusting(folder: &Path) -> ClientTls {
    ClientTls::trusting(folder.join("ca.pem"))
}

async fn listen(tls: ServerTls) -> Listener {
    Listener::bind("tls://127.0.0.1:0").framing(Lines).tls(tls).await.unwrap()
}

/// The listener's address by the name that is in its certificate.
fn by_name(listener: &Listener) -> String {
    listener.address().replace("127.0.0.1", "localhost")
}

#[tokio::test]
async fn lines_pass_both_ways_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost"]);
    let listener = listen(serving(folder.path())).await;
    let address = by_name(&listener);
    echo(listener);
    let socket = Socket::connect(&address).framing(Lines).tls(trusting(folder.path())).await.unwrap();
    assert!(socket.peer_certificate().is_some());
    for message in ["ahoy", &"long ".repeat(10_000)] {
        socket.write(message.as_bytes()).await.unwrap();
        assert_eq!(text(&socket).await, message);
    }
    soon(socket.close()).await.unwrap();
}

#[tokio::test]
async fn many_bytes_pass_over_tls_and_the_end_is_the_peers_own() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost"]);
    let listener = listen(serving(folder.path())).await;
    let client =
        Socket::connect(&by_name(&listener)).framing(Lines).tls(trusting(folder.path())).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    let writing = tokio::spawn(async move {
        for _ in 0..300 {
            server.write(&[b'x'; 10_000]).await.unwrap();
        }
        server.close().await
    });
    for _ in 0..300 {
        assert_eq!(text(&client).await.len(), 10_000);
    }
    assert_eq!(soon(client.read()).await, Ok(None));
    drop(client);
    soon(writing).await.unwrap().unwrap();
}

async fn refusal(address: &str, tls: ClientTls) -> String {
    let error = soon(async { Socket::connect(address).tls(tls).await }).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect { end: End::Tls(_), .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_told_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost"]);
    let stranger = tempfile::tempdir().unwrap();
    certificates(stranger.path(), &["localhost"]);
    let listener = listen(serving(folder.path())).await;
    let error = refusal(&listener.address(), trusting(folder.path())).await;
    assert!(error.contains("127.0.0.1") && error.contains("ClientTls::server_name"), "{error}");
    let error = refusal(&by_name(&listener), trusting(stranger.path())).await;
    assert!(error.contains("ClientTls::trusting"), "{error}");
    let named = trusting(folder.path()).server_name("localhost");
    let socket = Socket::connect(&listener.address()).tls(named).await.unwrap();
    assert!(socket.is_open());
    soon(async {
        while listener.refused() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_may_demand_to_know_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost", "meter-1"]);
    let listener = listen(serving(folder.path()).demanding(folder.path().join("ca.pem"))).await;
    let known =
        trusting(folder.path()).showing(folder.path().join("meter-1.pem"), folder.path().join("meter-1.key"));
    let client = Socket::connect(&by_name(&listener)).framing(Lines).tls(known).await.unwrap();
    let server = soon(listener.accept()).await.unwrap();
    let shown = server.peer_certificate().unwrap();
    assert!(shown.windows(7).any(|part| part == b"meter-1"));
    client.write(b"known").await.unwrap();
    assert_eq!(text(&server).await, "known");
    // In TLS 1.3 a client has done its part before the server looks at what it shows: the refusal comes as the end.
    let unknown = Socket::connect(&by_name(&listener)).framing(Lines).tls(trusting(folder.path())).await;
    let end = match unknown {
        Ok(socket) => soon(socket.read()).await.unwrap_err(),
        Err(OpenError::Connect { end, .. }) => end,
        Err(error) => panic!("{error}"),
    };
    assert!(end.to_string().contains("ClientTls::showing"), "{end}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_apart_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost"]);
    let listener = listen(serving(folder.path())).await;
    let target = listener.address().strip_prefix("tls://").unwrap().to_owned();
    // One says nothing, one says something else.
    let _silent = TcpStream::connect(&target).await.unwrap();
    let mut plain = TcpStream::connect(&target).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    soon(plain.read_to_end(&mut said)).await.unwrap();
    let client =
        Socket::connect(&by_name(&listener)).framing(Lines).tls(trusting(folder.path())).await.unwrap();
    client.write(b"held up by nobody").await.unwrap();
    assert_eq!(text(&soon(listener.accept()).await.unwrap()).await, "held up by nobody");

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tls://localhost:{}", plain.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1_000]).await;
    });
    let error = refusal(&address, trusting(folder.path())).await;
    assert!(error.contains("does the peer speak TLS?"), "{error}");
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let tls = ClientTls::trusting("/nonexistent/ca.pem");
    let error = Socket::connect("tls://localhost:1").tls(tls).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}

#[tokio::test]
async fn an_end_without_the_end_of_tls_is_told_unless_the_framing_knows_that_nothing_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tls://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = acceptor(folder.path());
    for framed in [false, true] {
        let builder = Socket::connect(&address).tls(trusting(folder.path()));
        let dialling = async { if framed { builder.framing(Lines).await } else { builder.await } };
        let (client, server) = tokio::join!(dialling, async {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.unwrap()
        });
        let (client, mut server) = (client.unwrap(), server);
        server.write_all(b"last words\n").await.unwrap();
        server.flush().await.unwrap();
        // The server's process dies: its kernel ends TCP, and nobody says close_notify.
        drop(server.into_inner());
        assert_eq!(text(&client).await.trim_end(), "last words");
        let read = soon(client.read()).await;
        assert_eq!(read, if framed { Ok(None) } else { Err(End::CutShort { held: 0 }) });
    }
}

fn acceptor(folder: &Path) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let certificate = CertificateDer::from_pem_file(folder.join("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("localhost.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    std::sync::Arc::new(config.with_single_cert(vec![certificate], key).unwrap()).into()
}
