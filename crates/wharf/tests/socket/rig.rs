//! What the tests have in common.

use std::{future::Future, path::Path, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use wharf::socket::{Bounds, Listener, Socket};

/// How long something may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what should happen at once.
#[track_caller]
pub fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, what).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("nothing happened in {PATIENCE:?} at {caller}"),
        }
    }
}

/// Sends everything back, on every socket.
pub fn echo(listener: Listener) {
    tokio::spawn(async move {
        while let Some(socket) = listener.accept().await {
            tokio::spawn(echo_one(socket));
        }
    });
}

/// Sends everything back until the peer ends its half.
pub async fn echo_one(socket: Socket) {
    while let Ok(Some(message)) = socket.read().await {
        if socket.write(&message).await.is_err() {
            return;
        }
    }
}

/// The next message as text.
#[track_caller]
pub fn text(socket: &Socket) -> impl Future<Output = String> {
    let read = soon(socket.read());
    async move { String::from_utf8(read.await.unwrap().expect("a message").to_vec()).unwrap() }
}

/// Short times for what ends by time.
pub fn short() -> Bounds {
    let (write_stall, close) = (Duration::from_millis(300), Duration::from_millis(300));
    Bounds { write_stall, close, ..Bounds::default() }
}

/// Writes `ca.pem`, and a certificate and key of that for each name: `NAME.pem` and `NAME.key`.
pub fn certificates(folder: &Path, names: &[&str]) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, folder.display().to_string());
    std::fs::write(folder.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new([(*name).to_owned()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, *name);
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
