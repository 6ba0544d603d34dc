//! SIGHUP reads certificate and key again, for connections that come; those that are there stay.

mod common;

use std::process::{Command, Stdio};

use common::{
    PATIENCE,
    certificate::Certificate,
    eventually,
    javascript::Javascript,
    server::{Server, Setup},
    socket::Address,
};
use serde_json::json;

/// The serial number of the certificate that a new connection is shown.
fn serial(server: &Server) -> u64 {
    let Address::Tcp(address) = server.address() else { panic!("set up with a TCP port") };
    let shown = Command::new("openssl").args(["s_client", "-connect", address]).stdin(Stdio::null()).output();
    let mut read = Command::new("openssl");
    read.args(["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut read = read.spawn().expect("openssl is installed");
    let mut input = read.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, &shown.expect("openssl is installed").stdout).expect("it reads");
    drop(input);
    let text = String::from_utf8(read.wait_with_output().expect("it ends").stdout).expect("UTF-8");
    let number = text.trim().strip_prefix("serial=").unwrap_or_else(|| panic!("no certificate: {text:?}"));
    u64::from_str_radix(number, 16).expect("a small number")
}

// Row 114, as far as certificates go.
#[test]
fn a_renewed_certificate_is_served_after_sighup_and_a_bad_one_is_not() {
    let certificate = Certificate::new(0x1001);
    let server = Setup::new().tls(&certificate).start();
    let url = server.url().replace("http://", "https://");
    let (mut client, _) = Javascript::subscribed("websocket", &url, "kept");
    assert_eq!(serial(&server), 0x1001);

    certificate.renew(0x1002);
    assert_eq!(serial(&server), 0x1001, "nothing is read before the signal");
    server.signal("HUP");
    eventually("the new certificate is served", PATIENCE, || serial(&server) == 0x1002);

    std::fs::write(certificate.path(), "no certificate").expect("the file is written");
    server.signal("HUP");
    eventually("the fault is told", PATIENCE, || server.log().contains("the old certificates stay in use"));
    assert_eq!(serial(&server), 0x1002);
    let log = server.log();
    assert!(log.contains("certificate.pem"), "the file is named: {log}");

    certificate.renew(0x1003);
    server.signal("HUP");
    eventually("the mended certificate is served", PATIENCE, || serial(&server) == 0x1003);

    client.call(json!({"op": "publish", "data": 1}));
    assert_eq!(client.publications(1), [json!(1)], "who was connected before is connected still");
}
