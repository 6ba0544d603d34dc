//! TLS of sockets: whom a client trusts, what a server shows, and either's demand to know the other.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, ServerName},
    server::WebPkiClientVerifier,
};

use super::end::End;
use crate::{
    settings::TlsFiles,
    tls::{TlsError, certificates, private_key},
};

/// How much plain text TLS holds that the kernel has not taken. LIMITS.md, `tls_held_bytes`.
pub const TLS_HELD_BYTES: usize = 16 * 1024;

/// Where systems keep the certificates that they trust, all in one file: Debian, Fedora, Alpine, SUSE, FreeBSD.
const PLATFORM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/usr/local/etc/ssl/cert.pem",
];

/// A client's side of TLS: by default it trusts whom the system trusts, and shows no certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    roots: Option<PathBuf>,
    shows: Option<TlsFiles>,
    server_name: Option<String>,
}

impl ClientTls {
    /// Trusts the certificates of this PEM file and no others: one's own CA, or a server's own certificate.
    pub fn trusting(file: impl Into<PathBuf>) -> Self {
        Self { roots: Some(file.into()), ..Self::default() }
    }

    /// Shows a server that asks for it this certificate (a PEM chain, its own first) and proves it by this key.
    pub fn showing(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.shows = Some(TlsFiles { certificate: certificate.into(), key: key.into() });
        self
    }

    /// The name that the server's certificate must have, where it is not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the files.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = self.roots.clone().or_else(platform_file);
        let roots = roots.ok_or(TlsError::NoRoots)?;
        let builder = ClientConfig::builder().with_root_certificates(store(&roots)?);
        let config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = (certificates(&files.certificate)?, private_key(&files.key)?);
                builder.with_client_auth_cert(chain, key).map_err(|cause| TlsError::pair(files, cause))?
            }
        };
        Ok(Arc::new(config))
    }

    /// The name that is asked for.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name { name: name.into() })
    }
}

/// A server's side of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    files: TlsFiles,
    clients: Option<PathBuf>,
}

impl ServerTls {
    /// Shows this certificate (a PEM chain, its own first), whose key this is.
    pub fn showing(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { files: TlsFiles { certificate: certificate.into(), key: key.into() }, clients: None }
    }

    /// Lets in only clients that show a certificate which one of this PEM file has signed.
    pub fn demanding(mut self, roots: impl Into<PathBuf>) -> Self {
        self.clients = Some(roots.into());
        self
    }

    /// Reads the files.
    pub(super) fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain, key) = (certificates(&self.files.certificate)?, private_key(&self.files.key)?);
        let builder = ServerConfig::builder();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(store(file)?)).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::roots(file, &error))?)
            }
        };
        let config = builder.with_single_cert(chain, key);
        config.map(Arc::new).map_err(|cause| TlsError::pair(&self.files, cause))
    }
}

fn store(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Some of a system's hundreds may be of a kind that rustls does not know.
    let (added, _) = store.add_parsable_certificates(certificates(file)?);
    if added == 0 { Err(TlsError::roots(file, &"no certificate in it can be used")) } else { Ok(store) }
}

/// The file of the system's, as OpenSSL finds it: by `SSL_CERT_FILE`, or where systems have it.
fn platform_file() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.or_else(|| PLATFORM_FILES.iter().map(PathBuf::from).find(|path| fs::metadata(path).is_ok()))
}

/// What a failed handshake means, and the mend.
pub fn refusal(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            End::Tls("the peer hung up during the handshake; does it speak TLS?".into())
        }
        _ => End::of_io(error),
    }
}

/// What rustls says, and the mend.
pub fn explained(tls: &rustls::Error) -> End {
    let mend = match tls {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; dial by a name that is in the certificate, or give that by ClientTls::server_name",
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "; give the file of who signed it to ClientTls::trusting",
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "; the server needs a new certificate",
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "; the server lets in only clients with a certificate: give one by ClientTls::showing"
        }
        rustls::Error::InvalidMessage(_) => "; does the peer speak TLS?",
        _ => "",
    };
    End::Tls(format!("{tls}{mend}").into())
}

/// The peer's own certificate of its chain.
pub fn first(chain: Option<&[CertificateDer<'_>]>) -> Option<Bytes> {
    chain?.first().map(|certificate| Bytes::copy_from_slice(certificate))
}
