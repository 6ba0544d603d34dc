//! Peers that nobody here wrote: netcat, OpenSSL and Python.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
};

use wharf::socket::{ClientTls, Listener, ServerTls, Socket};
use wharf_proto::framing::Lines;

use crate::rig::{certificates, soon, text};

/// A program that ends with this value.
struct Program(Child);

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; install it")))
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its input, and takes all that it printed.
    fn printed(mut self) -> String {
        drop(self.0.stdin.take());
        let mut printed = String::new();
        std::io::Read::read_to_string(self.0.stdout.as_mut().unwrap(), &mut printed).unwrap();
        printed
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host_and_port(listener: &Listener) -> (String, String) {
    let address = listener.address();
    let (_, place) = address.split_once("://").unwrap();
    let (host, port) = place.rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

/// Says something to a program, hears it, and lets it end.
async fn speak(listener: &Listener, mut program: Program) {
    program.type_line("hello from outside");
    let socket = soon(listener.accept()).await.unwrap();
    assert_eq!(text(&socket).await, "hello from outside");
    socket.write(b"hello from inside").await.unwrap();
    soon(socket.flush()).await.unwrap();
    let printed = tokio::task::spawn_blocking(|| program.printed());
    // Either side may end first.
    let _ = soon(socket.close()).await;
    let printed = soon(printed).await.unwrap();
    assert!(printed.contains("hello from inside"), "{printed:?}");
}

#[tokio::test]
async fn netcat_speaks_over_tcp_unix_paths_and_udp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nc.sock").display().to_string();
    let tcp = Listener::bind("tcp://127.0.0.1:0").framing(Lines).await.unwrap();
    let (host, port) = host_and_port(&tcp);
    speak(&tcp, Program::start("nc", &[&host, &port])).await;
    let unix = Listener::bind(&format!("unix:{path}")).framing(Lines).await.unwrap();
    speak(&unix, Program::start("nc", &["-U", &path])).await;
    let udp = Listener::bind("udp://127.0.0.1:0").framing(Lines).await.unwrap();
    let (host, port) = host_and_port(&udp);
    // It ends two seconds after its input does, since datagrams have no end.
    speak(&udp, Program::start("nc", &["-u", "-q", "2", &host, &port])).await;
}

#[tokio::test]
async fn openssl_speaks_over_tls_as_a_client_and_as_a_server() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["localhost", "meter-1"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let tls = ServerTls::showing(file("localhost.pem"), file("localhost.key")).demanding(file("ca.pem"));
    let listener = Listener::bind("tls://127.0.0.1:0").framing(Lines).tls(tls).await.unwrap();
    let (host, port) = host_and_port(&listener);
    let (place, ca) = (format!("{host}:{port}"), file("ca.pem"));
    let (certificate, key) = (file("meter-1.pem"), file("meter-1.key"));
    let arguments = [
        "s_client",
        "-quiet",
        "-verify_return_error",
        "-no_ign_eof",
        "-CAfile",
        &ca,
        "-cert",
        &certificate,
        "-key",
        &key,
    ];
    let client = Program::start("openssl", &[&arguments[..], &["-connect", &place]].concat());
    speak(&listener, client).await;

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
    let arguments = ["s_server", "-quiet", "-rev", "-cert", &certificate, "-key", &key, "-accept", &free];
    let _server = Program::start("openssl", &arguments);
    let address = format!("tls://localhost:{free}");
    let patient = wharf::socket::Reconnect::default().at_first();
    let tls = ClientTls::trusting(file("ca.pem"));
    let socket = Socket::connect(&address).framing(Lines).tls(tls).reconnect(patient).await.unwrap();
    // It sends every line back reversed.
    socket.write(b"ship in sight").await.unwrap();
    assert_eq!(text(&socket).await, "thgis ni pihs");
}

const PYTHON: &str = r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for _ in range(2):
    peer, _ = listener.accept()
    lines = peer.makefile("rwb", buffering=0)
    print(lines.readline().decode().strip(), flush=True)
    lines.write(b"welcome\n")
    print(lines.readline().decode().strip(), flush=True)
    peer.shutdown(socket.SHUT_RDWR)
    peer.close()
"#;

#[tokio::test]
async fn a_python_server_that_hangs_up_is_dialled_again() {
    let mut server = Program::start("python3", &["-c", PYTHON]);
    let mut output = std::io::BufReader::new(server.0.stdout.take().unwrap());
    let mut line = move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        line.trim().to_owned()
    };
    let port = line();
    let reconnect = wharf::socket::Reconnect::default()
        .pauses(std::time::Duration::from_millis(10), std::time::Duration::from_millis(50))
        .greeting(|connection| vec![format!("LOGIN {connection}").into()]);
    let socket = Socket::connect(&format!("tcp://127.0.0.1:{port}"))
        .framing(Lines)
        .reconnect(reconnect)
        .await
        .unwrap();
    for connection in 1..=2 {
        assert_eq!(text(&socket).await, "welcome");
        socket.write(b"thanks").await.unwrap();
        soon(socket.flush()).await.unwrap();
        assert_eq!((line(), line()), (format!("LOGIN {connection}"), "thanks".to_owned()));
    }
}
