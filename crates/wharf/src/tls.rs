//! Certificates: read from PEM files, and read again on SIGHUP without touching live connections.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::settings::{DeviceTls, TlsFiles};

/// Why TLS cannot be served. Names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the wanted kind.
    #[error("{path}: {cause}; give a PEM file that holds {wanted}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it must hold.
        wanted: &'static str,
        /// What went wrong.
        cause: Box<str>,
    },
    /// The certificate and the key do not fit, or are of a kind that is not supported.
    #[error("{certificate} and {key} cannot be used together: {cause}; give the key that belongs to the first certificate",
        certificate = certificate.display(), key = key.display())]
    Pair {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What rustls says.
        cause: rustls::Error,
    },
    /// The system's own certificates are nowhere to be found.
    #[error(
        "this system keeps no file of certificates that it trusts where such files are; name one by SSL_CERT_FILE, or \
        give the file of who signed the server's to ClientTls::trusting"
    )]
    NoRoots,
    /// A name that no certificate can have.
    #[error("{name:?} is no name that a certificate can have; give one by ClientTls::server_name")]
    Name {
        /// The name.
        name: Box<str>,
    },
}

impl TlsError {
    pub(crate) fn pair(files: &TlsFiles, cause: rustls::Error) -> Self {
        Self::Pair { certificate: files.certificate.clone(), key: files.key.clone(), cause }
    }

    pub(crate) fn roots(path: &Path, cause: &dyn std::fmt::Display) -> Self {
        file_error(path, "the certificates of who is trusted to sign others", cause.to_string())
    }
}

/// The current TLS configuration of a node's addresses, or of those of one device listener.
pub struct Tls {
    files: TlsFiles,
    /// The authorities of the certificates that clients must show.
    authority: Option<PathBuf>,
    /// What is spoken inside, as ALPN names it.
    protocols: &'static [&'static [u8]],
    current: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        Self::new(files, None, &[b"h2", b"http/1.1"])
    }

    /// Reads the files of a device listener.
    pub fn for_devices(tls: &DeviceTls) -> Result<Self, TlsError> {
        let authority = tls.clients.as_ref().map(|clients| clients.authority.clone());
        Self::new(tls.files.clone(), authority, &[])
    }

    fn new(
        files: TlsFiles,
        authority: Option<PathBuf>,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, TlsError> {
        let config = read(&files, authority.as_deref(), protocols)?;
        Ok(Self { files, authority, protocols, current: Mutex::new(Arc::new(config)) })
    }

    /// What new connections are served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        // The value is replaced whole, so it is never half-changed, whatever the lock says.
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again. On an error the certificate that was served is served on.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(read(&self.files, self.authority.as_deref(), self.protocols)?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}

pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| file_error(path, "a private key", error.to_string()))
}

fn read(files: &TlsFiles, authority: Option<&Path>, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.key)?;
    // TLS 1.2 and 1.3 only (RFC 8996 retires the older ones); rustls implements no others.
    let builder =
        ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let builder = match authority {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(verifier(authority)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|cause| TlsError::pair(files, cause))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// Takes clients whose certificate one of these authorities has signed, and no others.
fn verifier(authority: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    const WANTED: &str = "the certificates of the authorities that sign the clients' certificates";
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(authority, WANTED)? {
        roots.add(certificate).map_err(|error| file_error(authority, WANTED, error.to_string()))?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| file_error(authority, WANTED, error.to_string()))
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    read_certificates(path, "a certificate chain, the server's own first")
}

fn read_certificates(path: &Path, wanted: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file_error(path, wanted, error.to_string()))?;
    if certificates.is_empty() {
        return Err(file_error(path, wanted, "no certificate found".to_owned()));
    }
    Ok(certificates)
}

fn file_error(path: &Path, wanted: &'static str, cause: String) -> TlsError {
    TlsError::File { path: path.to_owned(), wanted, cause: cause.into() }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A certificate of our own, and both ends that trust it.

    use rcgen::CertifiedKey;
    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    pub fn certificate() -> CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    pub fn write(certificate: &CertifiedKey<rcgen::KeyPair>, directory: &Path) -> TlsFiles {
        let files = TlsFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
        std::fs::write(&files.certificate, certificate.cert.pem()).unwrap();
        std::fs::write(&files.key, certificate.signing_key.serialize_pem()).unwrap();
        files
    }

    pub fn server_config(certificate: &CertifiedKey<rcgen::KeyPair>) -> ServerConfig {
        let directory = tempfile::tempdir().unwrap();
        read(&write(certificate, directory.path()), None, &[]).unwrap()
    }

    pub fn client_config(certificate: &CertifiedKey<rcgen::KeyPair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(tls: &Tls) -> *const ServerConfig {
        Arc::as_ptr(&tls.config())
    }

    #[test]
    fn a_reload_serves_the_new_certificate_and_a_bad_one_keeps_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let files = testing::write(&testing::certificate(), directory.path());
        let tls = Tls::load(files.clone()).unwrap();
        let (first, before) = (tls.config(), served(&tls));

        testing::write(&testing::certificate(), directory.path());
        tls.reload().unwrap();
        let after = served(&tls);
        assert_ne!(before, after);

        // Row 114, for certificates.
        std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains("certificate chain"), "{error}");
        assert_eq!(served(&tls), after);
        drop(first);
    }

    #[test]
    fn a_key_that_belongs_to_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = testing::write(&testing::certificate(), directory.path());
        std::fs::write(&files.key, testing::certificate().signing_key.serialize_pem()).unwrap();
        let error = Tls::load(files).err().unwrap().to_string();
        assert!(error.contains("key.pem") && error.contains("the key that belongs"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing =
            TlsFiles { certificate: "/nonexistent/chain.pem".into(), key: "/nonexistent/key.pem".into() };
        let error = Tls::load(missing).err().unwrap().to_string();
        assert!(error.starts_with("/nonexistent/"), "{error}");
    }
}
