//! Certificates that nobody signed but their own key.

use std::{fs, path::PathBuf};

use rcgen::{CertificateParams, KeyPair, SerialNumber};

/// A certificate for `localhost` and its key, in files that are gone with this value.
#[derive(Debug)]
pub struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    /// A certificate with this serial number.
    pub fn new(serial: u64) -> Self {
        let certificate = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        certificate.renew(serial);
        certificate
    }

    /// Puts another certificate with a key of its own in its place.
    pub fn renew(&self, serial: u64) {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        parameters.serial_number = Some(SerialNumber::from(serial));
        let certificate = parameters.self_signed(&key).expect("a certificate");
        fs::write(self.path(), certificate.pem()).expect("the certificate is written");
        fs::write(self.key_path(), key.serialize_pem()).expect("the key is written");
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub fn key_path(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
