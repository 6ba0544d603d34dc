//! TLS, and devices that show a certificate.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::PrivateKeyDer};
use wharf::settings::{ClientCertificates, DeviceTls, Times, TlsFiles};

use super::{
    streams::{Device, onlooker},
    *,
};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key.
type Identity = (rustls::pki_types::CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn sign(&self, common_name: &str, alternative: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = alternative.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn identity(&self, common_name: &str, alternative: &[&str]) -> Identity {
        let (certificate, key) = self.sign(common_name, alternative);
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// The settings of a listener whose own certificate, and those of its devices, this authority has signed.
    fn settings(&self, clients: Option<bool>) -> DeviceTls {
        let file = |name: &str, text: String| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) = self.sign("server", &["localhost"]);
        let authority = file("ca.pem", self.issuer.pem());
        DeviceTls {
            files: TlsFiles {
                certificate: file("cert.pem", certificate.pem()),
                key: file("key.pem", key.serialize_pem()),
            },
            clients: clients.map(|name_is_device| ClientCertificates { authority, name_is_device }),
        }
    }

    fn connect(
        &self,
        rig: &Rig,
        identity: Option<Identity>,
    ) -> Device<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
        };
        let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(address(rig)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Device::on(StreamOwned::new(client, socket))
    }
}

fn tls_listener(tls: DeviceTls) -> DeviceListener {
    DeviceListener { tls: Some(tls), ..listener(DeviceAddress::Tls(any_port())) }
}

/// Whether a device is let in that says it is m7. A handshake that the server refuses ends in an error.
fn is_let_in(mut device: Device<StreamOwned<ClientConnection, TcpStream>>) -> bool {
    use std::io::BufRead;
    let stream = device.reader_mut();
    let said = stream.get_mut().write_all(b"LOGIN m7 s3cret\n");
    let mut line = String::new();
    said.is_ok() && stream.read_line(&mut line).is_ok() && line == "WELCOME m7\n"
}

#[test]
fn a_device_over_tls_is_served_and_one_without_is_not() {
    let authority = Authority::new();
    let rig = start(tls_listener(authority.settings(None)));
    let mut device = authority.connect(&rig, None);
    device.say("LOGIN 7 s3cret");
    assert_eq!(device.line(), "WELCOME 7");
    device.say("UP 1");
    assert_eq!(device.line(), "GOT 1");

    let mut plain = Device::connect(&rig);
    plain.say("LOGIN 8 s3cret");
    while !plain.line().is_empty() {}
    eventually("it is refused", || rig.server.node().devices.refusals.total.total() == 1);
    assert_eq!(present(&rig, "fleet"), ["7"]);
}

// Row 40.
#[test]
fn a_tls_handshake_that_stalls_is_ended_in_time_and_others_get_in() {
    let authority = Authority::new();
    let times = Times { http_head_ms: 2_000, ..Times::default() };
    let settings = Settings { times, ..rig::settings() };
    let rig = start_with(tls_listener(authority.settings(None)), settings);
    let started = Instant::now();
    // Some say nothing, some begin: a record of a handshake that is 512 bytes long, of which 2 come.
    let begun = [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"];
    let stalled: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut socket = TcpStream::connect(address(&rig)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(begun[number % begun.len()]).unwrap();
            socket
        })
        .collect();
    assert!(is_let_in(authority.connect(&rig, None)));
    let refused = || rig.server.node().devices.refusals.total.total();
    assert!(refused() < 200, "somebody gets in while others stall");
    for mut socket in stalled {
        // What was not read makes the end a reset.
        let end = socket.read(&mut [0; 16]).or_else(|error| match error.kind() {
            std::io::ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        });
        assert_eq!(end.unwrap(), 0);
    }
    let elapsed = started.elapsed().as_millis();
    assert!((1_500..20_000).contains(&elapsed), "{elapsed} ms");
    eventually("all are counted", || refused() == 200);
    assert!(is_let_in(authority.connect(&rig, None)));
}

#[test]
fn only_certificates_of_the_authority_are_let_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let rig = start(tls_listener(authority.settings(Some(false))));
    assert!(is_let_in(authority.connect(&rig, Some(authority.identity("anything", &[])))));
    assert!(!is_let_in(authority.connect(&rig, None)));
    assert!(!is_let_in(authority.connect(&rig, Some(other.identity("m7", &["m7"])))));
}

#[test]
fn the_certificate_must_be_the_device_s_own_where_the_listener_says_so() {
    let authority = Authority::new();
    let bare = DeviceListener {
        profile: listener_with(tcp(), |spec| spec.down = None).profile,
        ..tls_listener(authority.settings(Some(true)))
    };
    let rig = start(bare);
    let mut browser = onlooker(&rig, &["fleet"]);
    assert!(!is_let_in(authority.connect(&rig, Some(authority.identity("m8", &["m8"])))));
    assert_eq!(present(&rig, "fleet"), [""], "only the browser itself");
    // What was said of the other would come before this.
    rig.post("/api/publish", r#"{"channel":"fleet","data":"after"}"#);
    let next = browser.until("\n");
    assert!(next.contains("\"after\""), "{next}");
    assert!(is_let_in(authority.connect(&rig, Some(authority.identity("m7", &[])))));
    assert!(is_let_in(authority.connect(&rig, Some(authority.identity("x", &["m7"])))));
}

#[test]
fn a_tls_address_without_a_certificate_and_an_authority_that_cannot_be_read_are_named() {
    let settings = |listener| Settings { devices: Arc::new([listener]), ..rig::settings() };
    let bare = listener(DeviceAddress::Tls(any_port()));
    let error = wharf::server::serve(settings(bare)).err().unwrap().to_string();
    assert!(error.contains("\"meter\"") && error.contains("certificate"), "{error}");

    let authority = Authority::new();
    let mut tls = authority.settings(Some(false));
    let clients = tls.clients.as_mut().unwrap();
    clients.authority = authority.folder.path().join("missing.pem");
    let error = wharf::server::serve(settings(tls_listener(tls))).err().unwrap().to_string();
    assert!(error.contains("missing.pem") && error.contains("authorities"), "{error}");
}
